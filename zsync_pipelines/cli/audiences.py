"""The group of commands on audiences."""

from __future__ import annotations

import click

from zsync_pipelines.cli import evaluations


@click.group("audience")
def audience() -> None:
    """Look at audiences, and evaluate them."""


for _command in evaluations.COMMANDS:
    audience.add_command(_command)

COMMANDS: tuple[click.Command, ...] = (audience,)
