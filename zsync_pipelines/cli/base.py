"""What all commands share: error reports and exit codes, `--json`, as-of values, run options."""

from __future__ import annotations

import getpass
import json
import os
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, redirect_stdout
from datetime import datetime
from typing import Any, TypeVar

import click

from zsync_pipelines.cli.installation import refuse_remote
from zsync_pipelines.domain.actor import Actor
from zsync_pipelines.domain.moments import parse_moment
from zsync_pipelines.errors import ConfigError, ZsyncError

EXIT_ERROR = 1
EXIT_USAGE = 2
EXIT_PARTIAL = 3
EXIT_INTERRUPTED = 130

_BUG = "this is a bug; run with ZSYNC_DEBUG=1 for the traceback"
F = TypeVar("F", bound=Callable[..., Any])
json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON document on stdout, nothing else.")


class ZsyncCommand(click.Command):
    """A command whose errors end as one clean message on stderr and an exit code, never as a traceback.

    With `--json` the error is the JSON document: `{"error": ..., "problems": [{file, path, message}]}`.
    `remote`: it works over an API, too; others are refused where one is given.
    """

    def __init__(self, *args: Any, remote: bool = False, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.remote = remote

    def invoke(self, ctx: click.Context) -> Any:
        try:
            if not self.remote:
                refuse_remote(ctx)
            return super().invoke(ctx)
        except ZsyncError as error:
            _report(str(error), _problems(error), as_json=bool(ctx.params.get("as_json")))
            ctx.exit(error.exit_code)
        except KeyboardInterrupt:
            click.echo("interrupted", err=True)
            ctx.exit(EXIT_INTERRUPTED)
        except (click.ClickException, click.exceptions.Exit, click.Abort, BrokenPipeError):
            raise
        except Exception as error:
            if os.environ.get("ZSYNC_DEBUG"):
                traceback.print_exc()
            text = f"unexpected error: {type(error).__name__}: {_first_line(error)} - {_BUG}"
            _report(text, [], as_json=bool(ctx.params.get("as_json")))
            ctx.exit(EXIT_ERROR)


def command(name: str, *, remote: bool = False) -> Callable[[Callable[..., Any]], click.Command]:
    """Declare a command of `zsync`; `remote`: one that works over an API, too (`cli.installation`)."""
    return click.command(name, cls=ZsyncCommand, remote=remote)


def operator() -> Actor:
    """Who gives the command, for the audit log: the user of the operating system."""
    try:
        name = getpass.getuser()
    except (ImportError, KeyError, OSError):  # a container's user may have no name
        name = f"uid {os.getuid()}"
    return Actor("cli", name)


def print_json(document: Any) -> None:
    """The one JSON document of a `--json` command."""
    click.echo(json.dumps(document, indent=2, ensure_ascii=False))


def print_json_array(rows: Iterable[Any]) -> None:
    """One JSON array, row by row: however many there are, one is held at a time."""
    empty = True
    for row in rows:
        click.echo(("[" if empty else ",") + "\n" + json.dumps(row, ensure_ascii=False), nl=False)
        empty = False
    click.echo("[]" if empty else "\n]")


@contextmanager
def only_stderr() -> Iterator[None]:
    """Whatever is printed to stdout meanwhile, by this process or its children, goes to stderr."""
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        with redirect_stdout(sys.stderr):
            yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)


class AsOf(click.ParamType[datetime]):
    """An ISO date (midnight UTC) or timestamp (UTC where it has no zone)."""

    name = "ISO"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        if isinstance(value, datetime):
            return value
        try:
            return parse_moment(value)
        except ValueError as error:
            self.fail(f"'{value}' {error}", param, ctx)


def run_options(function: F) -> F:
    """The options that `run` and `plan` share; they arrive as keyword arguments for `RunOptions`."""
    at_most = click.IntRange(min=0)
    for option in reversed(
        (
            click.option("--as-of", type=AsOf(), help="Evaluate as of this date or time (default: now)."),
            click.option("--allow-older", is_flag=True, help="Allow an --as-of before that of the last run."),
            click.option("--full-resync", is_flag=True, help="Send every member again; removals are still computed."),
            click.option("--rebaseline", is_flag=True, help="Take the current membership as delivered; send nothing."),
            click.option(
                "--forget-leavers", is_flag=True, help="With --rebaseline: forget members that have left meanwhile."
            ),
            click.option(
                "--allow-removals", type=at_most, metavar="N", help="Let up to N removals pass the guard, once."
            ),
            click.option(
                "--allow-additions", type=at_most, metavar="N", help="Let up to N additions pass the guard, once."
            ),
        )
    ):
        function = option(function)
    return function


def check_run_options(options: dict[str, Any]) -> None:
    """Refuse options that contradict each other."""
    if options["full_resync"] and options["rebaseline"]:
        raise click.UsageError("--full-resync sends every member, --rebaseline sends nothing; give one of them")
    if options["forget_leavers"] and not options["rebaseline"]:
        raise click.UsageError("--forget-leavers goes with --rebaseline")


def _report(text: str, problems: list[dict[str, Any]], *, as_json: bool) -> None:
    click.echo(f"error: {text}" if "\n" not in text else f"error:\n{text}", err=True)
    if as_json:
        print_json({"error": text, "problems": problems})


def _problems(error: ZsyncError) -> list[dict[str, Any]]:
    found = error.problems if isinstance(error, ConfigError) else ()
    return [{"file": p.file, "path": p.path, "message": p.message} for p in found]


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [""])[0]
