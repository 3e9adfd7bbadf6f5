"""Commands on audiences: list, estimate, preview, sql; evaluate and history are beside."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import click

from zsync_pipelines.cli import evaluations
from zsync_pipelines.cli.base import AsOf, command, json_option, print_json
from zsync_pipelines.cli.installation import Document, installation

_as_of_option = click.option("--as-of", type=AsOf(), help="Evaluate as of this date or time (default: now).")


@click.group("audience")
def audience() -> None:
    """Look at audiences: list them, count them, see some members, read their SQL; evaluate them."""


class Names(click.ParamType[tuple[str, ...]]):
    """Names with commas between."""

    name = "A,B"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, ...]:
        if isinstance(value, tuple):
            return value
        return tuple(name for part in value.split(",") if (name := part.strip()))


@command("list", remote=True)
@json_option
def list_command(as_json: bool) -> None:
    """List audiences with the syncs that use them and their last known size."""
    summaries = installation().list_audiences()
    if as_json:
        print_json(summaries)
    else:
        _print_audiences(summaries)


@command("estimate", remote=True)
@click.argument("audience_id", metavar="ID")
@_as_of_option
@json_option
def estimate(audience_id: str, as_of: datetime | None, as_json: bool) -> None:
    """Count the members of audience ID in its source. Writes nothing."""
    from zsync_pipelines.cli.render import progress

    with progress(f"counting {audience_id}"):
        found = installation().estimate(audience_id, as_of)
    if as_json:
        print_json(found)
    else:
        _print_estimate(found)


@command("preview", remote=True)
@click.argument("audience_id", metavar="ID")
@click.option("--limit", type=click.IntRange(1, 1000), default=10, show_default=True, help="How many rows to show.")
@click.option("--columns", type=Names(), help="Columns and traits (default: those mapped by syncs or tested).")
@click.option("--show", is_flag=True, help="Show personal data instead of masking it.")
@_as_of_option
@json_option
def preview(
    audience_id: str, limit: int, columns: tuple[str, ...] | None, show: bool, as_of: datetime | None, as_json: bool
) -> None:
    """Show some members of audience ID. Writes nothing.

    Entity keys are shown as they are. Of other columns only the kind of each value is shown, unless --show is given.
    """
    from zsync_pipelines.cli.render import progress

    with progress(f"reading {audience_id}"):
        found = installation().preview(audience_id, limit, columns, as_of, show=show)
    if as_json:
        print_json(found)
    else:
        _print_preview(found)


@command("sql")
@click.argument("audience_id", metavar="ID")
@click.option("--columns", type=Names(), help="Columns and traits beside the key (default: those mapped by syncs).")
@_as_of_option
@json_option
def sql(audience_id: str, columns: tuple[str, ...] | None, as_of: datetime | None, as_json: bool) -> None:
    """Print the SQL that would run for audience ID, and its parameters.

    The source is asked about its columns only.
    """
    from zsync_pipelines.cli.render import clean
    from zsync_pipelines.service.audience_setup import load_audience
    from zsync_pipelines.service.bootstrap import open_zsync

    app = open_zsync()
    load_audience(app, audience_id)  # a mistyped id is answered before anything heavy is loaded
    from zsync_pipelines.service import audience_looks

    found = audience_looks.sql_of(app, audience_id, columns, as_of)
    if as_json:
        print_json(found.to_json())
    else:
        click.echo(clean(str(found.statement)))


for _command in (list_command, estimate, preview, sql, *evaluations.COMMANDS):
    audience.add_command(_command)

COMMANDS: tuple[click.Command, ...] = (audience,)


def _print_audiences(summaries: list[Document]) -> None:
    from zsync_pipelines.cli.render import moment, say, table

    if not summaries:
        say("no audiences yet; write a configuration file and run `zsync apply FILE`")
        return
    rows = [
        (
            *(found[name] for name in ("id", "name", "model_id")),
            "broken" if found["broken"] else found["evaluation_schedule"],
            ", ".join(found["syncs"]) or None,
            found["members"],
            moment(found["as_of"]),
        )
        for found in summaries
    ]
    columns = ("audience", "name", "model", "schedule", "syncs", "members", "as of")
    table(columns, rows, numbers=("members",))
    for found in summaries:
        if found["broken"]:
            say(f"broken: {found['id']}: {found['broken']}", "red")


def _print_estimate(found: Document) -> None:
    from zsync_pipelines.cli.render import moment, say, table

    rows = [("members", found["members"]), ("of the model", found["model_members"])]
    faults = (("rows without a key", found["null_keys"]), ("rows that repeat a key", found["duplicate_rows"]))
    table(("rows", "count"), [*rows, *(fault for fault in faults if fault[1])], numbers=("count",))
    percent = "" if found["percent"] is None else f"{found['percent']:g}% of the model's entities, "
    say(f"{percent}as of {moment(found['as_of'])}")


def _print_preview(found: Document) -> None:
    from zsync_pipelines.cli.render import moment, say, table

    if not found["rows"]:
        say(f"audience '{found['audience_id']}' has no members as of {moment(found['as_of'])}")
        return
    # Unlike the columns, the key is a number only by name.
    rows = [
        (
            None if row["entity_key"] is None else str(row["entity_key"]),
            *(row["values"][name] for name in found["columns"]),
        )
        for row in found["rows"]
    ]
    table((found["entity_key"], *found["columns"]), rows)
    if found["masked"]:
        say("values in <> are masked; --show shows them")
