"""The command line, `zsync`: a face that parses, calls one service function and renders its answer.

Heavy libraries are imported by the services inside the commands, so that `zsync list` and `--help` start at once.
"""

from __future__ import annotations

import importlib
import importlib.util
import io
import sys
from typing import Any

import click

from zsync_pipelines.cli import alerts, api_keys, audiences, configuration, export, history, members, runs
from zsync_pipelines.cli.base import EXIT_INTERRUPTED, ZsyncCommand
from zsync_pipelines.cli.installation import api_options

_LATER = {
    "demo": "zsync_pipelines.cli.demo",
    "serve": "zsync_pipelines.cli.serve",
    "dev": "zsync_pipelines.cli.dev",
}
"""Commands in modules of their own, imported when they are asked for: name -> module with a command of that name."""


class ZsyncGroup(click.Group):
    """A group whose commands report errors as `ZsyncCommand` does, and may be imported late."""

    command_class = ZsyncCommand

    def list_commands(self, ctx: click.Context) -> list[str]:
        later = [name for name, module in _LATER.items() if importlib.util.find_spec(module) is not None]
        return [*later, *self.commands]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name in self.list_commands(ctx) and cmd_name in _LATER:
            command = getattr(importlib.import_module(_LATER[cmd_name]), cmd_name.replace("-", "_"))
            return command if isinstance(command, click.Command) else None
        return super().get_command(ctx, cmd_name)


@click.group(cls=ZsyncGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="zsync-pipelines", prog_name="zsync")
@api_options
def cli(**_: Any) -> None:
    """Keep audiences in step with your tools: exact adds, removes and updates from your warehouse.

    Exit codes: 0 success, 1 error, 2 wrong usage or configuration, 3 partial failure.
    """


for _module in (configuration, export, audiences, runs, history, members, alerts, api_keys):
    for _command in _module.COMMANDS:
        cli.add_command(_command)


def main() -> None:
    """Entry point of the console script."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(
                errors="backslashreplace"
            )  # a key that the terminal cannot show must not end the command
    try:
        cli(prog_name="zsync")
    except KeyboardInterrupt:
        sys.exit(EXIT_INTERRUPTED)
