"""Commands on members: who came and went, and who was there as of a run."""

from __future__ import annotations

from datetime import datetime
from itertools import islice

import click

from zsync_pipelines.cli.base import AsOf, command, json_option, print_json_array

_MOST_SHOWN = 1_000
_limit_option = click.option(
    "--limit", type=click.IntRange(min=1), help="How many rows to show (default: 1000; all with --json)."
)


@command("history")
@click.argument("sync")
@click.option("--since", type=AsOf(), help="Only of runs since this date or time.")
@click.option("--key", metavar="KEY", help="Only of this entity.")
@click.option("--run", "run_id", metavar="ID", help="Only of this run.")
@_limit_option
@json_option
def history(
    sync: str, since: datetime | None, key: str | None, run_id: str | None, limit: int | None, as_json: bool
) -> None:
    """Show who entered, left and changed in the runs of SYNC, newest first.

    As the destination acknowledged it. Older versions are kept for ZSYNC_KEEP_SNAPSHOTS_DAYS.
    """
    from zsync_pipelines.cli.render import moment, say, table
    from zsync_pipelines.service.bootstrap import open_zsync
    from zsync_pipelines.service.member_history import member_events

    found = member_events(open_zsync(), sync, since, key, run_id)
    if as_json:
        print_json_array(event.to_json() for event in islice(found, limit))
        return
    shown = list(islice(found, limit or _MOST_SHOWN))
    if not shown:
        say(f"nobody entered, left or changed in the runs of sync '{sync}' that are kept")
        return
    rows = [(moment(e.at), e.event, e.entity_key, moment(e.as_of), e.run_id) for e in shown]
    table(("at", "event", "entity key", "as of", "run"), rows)
    if next(found, None) is not None:
        say(f"and more; --limit or --json shows more than {len(shown):,}")


@command("members")
@click.argument("sync")
@click.option("--run", "run_id", metavar="ID", help="As of this run (default: the last one that was committed).")
@click.option("--show", is_flag=True, help="Show their fields, which are personal data.")
@_limit_option
@json_option
def members(sync: str, run_id: str | None, show: bool, limit: int | None, as_json: bool) -> None:
    """List the members of SYNC's audience as they were once a run was committed.

    Those of whom the destination knows: members that it refused are not among them.
    """
    from zsync_pipelines.cli.render import say, table
    from zsync_pipelines.service.bootstrap import open_zsync
    from zsync_pipelines.service.member_history import members_at

    found = members_at(open_zsync(), sync, run_id, fields=show)
    if as_json:
        print_json_array(islice(found, limit))
        return
    shown = list(islice(found, limit or _MOST_SHOWN))
    if not shown:
        say(f"sync '{sync}' had no members then" if run_id else f"sync '{sync}' has no members at its destination")
        return
    names = tuple(shown[0].get("fields", ()))
    table(("entity key", *names), [(row["entity_key"], *row.get("fields", {}).values()) for row in shown])
    if next(found, None) is not None:
        say(f"and more; --limit or --json shows more than {len(shown):,}")


COMMANDS: tuple[click.Command, ...] = (history, members)
