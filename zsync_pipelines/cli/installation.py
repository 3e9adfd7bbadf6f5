"""Whose syncs a command speaks of: those of the installation on this machine, or of one behind an API.

Commands ask an `Installation` and print its answers, which are the documents that `--json` prints: so both look alike.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol, TypeVar

import click
from click.core import ParameterSource

from zsync_pipelines.domain.run import RunOptions
from zsync_pipelines.errors import ConfigError

Document = dict[str, Any]
Watch = Callable[[str, int, int | None], None]
F = TypeVar("F", bound=Callable[..., Any])


class Installation(Protocol):
    """What commands ask; `cli.local` and `cli.remote` answer. Errors are those of the services."""

    def list_syncs(self) -> list[Document]: ...
    def pause(self, sync: str) -> None: ...
    def resume(self, sync: str) -> None: ...
    def delete(self, sync: str) -> str:
        """Returns who managed it: `files` or `api`."""

    def check(self, destination: str | None) -> list[Document]:
        """The steps, each with `kind id sync_id step status detail`."""

    def plan(self, sync: str, options: RunOptions, watch: Watch) -> Document: ...
    def run(self, sync: str, options: RunOptions, watch: Watch) -> Document: ...
    def cancel(self, sync: str) -> Document | None: ...
    def runs(self, sync: str, limit: int) -> list[Document]: ...
    def rejections(self, sync: str, run_id: str | None) -> Iterator[Document]: ...
    def free_parked(self, sync: str) -> int: ...
    def explain(self, sync: str, key: str) -> Document: ...
    def audit(
        self, kind: str | None, object_id: str | None, actor: str | None, before: int | None, limit: int
    ) -> list[Document]: ...
    def list_audiences(self) -> list[Document]: ...
    def estimate(self, audience: str, as_of: datetime | None) -> Document: ...
    def preview(
        self, audience: str, limit: int, columns: tuple[str, ...] | None, as_of: datetime | None, *, show: bool
    ) -> Document: ...
    def evaluate(self, audience: str, as_of: datetime | None, watch: Watch) -> Document: ...
    def evaluations(self, audience: str, limit: int) -> list[Document]: ...


def api_options(function: F) -> F:
    """The options that name an API."""
    for option in (
        click.option(
            "--api-key-file",
            type=click.Path(path_type=Path, dir_okay=False),
            help="A file with the API key (default: the variable ZSYNC_API_KEY).",
        ),
        click.option(
            "--api-url",
            metavar="URL",
            envvar="ZSYNC_API_URL",
            show_envvar=True,
            help="Speak to the zsync API at URL instead of the installation on this machine.",
        ),
    ):
        function = option(function)
    return function


def installation() -> Installation:
    """That of the API which the command line or ZSYNC_API_URL names; else that of this machine."""
    context = click.get_current_context()
    given = context.find_root().params
    if not given.get("api_url"):
        from zsync_pipelines.cli.local import Local

        return Local()
    from zsync_pipelines.cli.remote import Remote
    from zsync_pipelines.client import ZsyncClient

    client = ZsyncClient(given["api_url"], _key(given.get("api_key_file")))
    context.call_on_close(client.close)
    return Remote(client)


def refuse_remote(ctx: click.Context) -> None:
    """ConfigError where an API is named, for a command that works on the installation itself."""
    root = ctx.find_root()
    if root.params.get("api_url"):
        by_option = root.get_parameter_source("api_url") is ParameterSource.COMMANDLINE
        remedy = "without --api-url" if by_option else "with ZSYNC_API_URL unset"
        raise ConfigError(
            f"`{ctx.command_path}` works only where zsync is installed, not over an API: run it there, {remedy}"
        )


def _key(file: Path | None) -> str | None:
    if file is None:
        return None
    try:
        return file.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise ConfigError(f"--api-key-file: {file} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"--api-key-file: {file} holds no API key") from None
