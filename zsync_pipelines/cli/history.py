"""Commands on history: runs, rejections, explain."""

from __future__ import annotations

from itertools import islice

import click

from zsync_pipelines.cli.base import command, json_option, print_json, print_json_array
from zsync_pipelines.cli.installation import installation

_MOST_SHOWN, _MOST_COUNTED = 1_000, 10_000


@command("runs", remote=True)
@click.argument("sync")
@click.option("--limit", type=click.IntRange(min=1), default=20, show_default=True, help="How many runs to show.")
@json_option
def runs(sync: str, limit: int, as_json: bool) -> None:
    """Show the runs of SYNC, newest first."""
    from zsync_pipelines.cli.render import moment, say, table

    found = installation().runs(sync, limit)
    if as_json:
        print_json(found)
        return
    if not found:
        say(f"sync '{sync}' has not run yet; `zsync run {sync}` runs it")
        return
    names = ("added", "removed", "updated", "failed", "invalid", "held")
    rows = [
        (
            *(run[name] for name in ("id", "status", "trigger")),
            *(moment(run[name]) for name in ("as_of", "started_at")),
            *(run[name] for name in ("duration_seconds", "members")),
            *(run[f"rows_{name}"] for name in names),
        )
        for run in found
    ]
    columns = ("run", "status", "trigger", "as of", "started", "seconds", "members", *names)
    table(columns, rows, numbers=("seconds", "members", *names))
    newest = found[0]
    if newest["error"]:
        say(f"newest run: {newest['error']}")


@command("rejections", remote=True)
@click.argument("sync")
@click.option("--run", "run_id", metavar="ID", help="Of this run (default: as of the last that delivered).")
@click.option("--limit", type=click.IntRange(min=1), help="How many rows to show (default: 1000; all with --json).")
@click.option("--retry", is_flag=True, help="Free parked rows: the next run tries them again.")
@json_option
def rejections(sync: str, run_id: str | None, limit: int | None, retry: bool, as_json: bool) -> None:
    """Show the rows that the destination of SYNC refuses.

    With the destination's reasons. A row that is refused again and again is parked: not tried until it changes.
    """
    from zsync_pipelines.cli.render import moment, say, table

    if retry:
        if run_id is not None:
            raise click.UsageError("--retry frees every parked row of the sync; it does not go with --run")
        freed = installation().free_parked(sync)
        if as_json:
            print_json({"sync_id": sync, "freed": freed})
        elif freed:
            say(f"{freed} parked rows of sync '{sync}' are tried again by its next run")
        else:
            say(f"sync '{sync}' has no parked rows")
        return
    found = installation().rejections(sync, run_id)
    if as_json:
        print_json_array(islice(found, limit))
        return
    shown = list(islice(found, limit or _MOST_SHOWN))
    if not shown:
        say(f"no refused rows of sync '{sync}'" + (f" in run {run_id}" if run_id else ""))
        return
    rows = [
        (
            *(row[name] for name in ("entity_key", "op", "attempts")),
            "yes" if row["parked"] else None,
            row["reason"],
            *(moment(row[name]) for name in ("first_at", "last_at")),
            row["run_id"],
        )
        for row in shown
    ]
    names = ("entity key", "op", "attempts", "parked", "reason", "first", "last", "run")
    table(names, rows, numbers=("attempts",))
    more = sum(1 for _ in islice(found, _MOST_COUNTED))
    if more == _MOST_COUNTED:
        say(f"and {more:,} more at least; --json shows all")
    elif more:
        say(f"and {more:,} more; --limit {len(shown) + more} or --json shows all")


@command("explain", remote=True)
@click.argument("sync")
@click.argument("key")
@json_option
def explain(sync: str, key: str, as_json: bool) -> None:
    """Explain why KEY is or is not at the destination of SYNC.

    KEY is an entity key, as the model's source holds it.
    """
    from zsync_pipelines.cli.render import progress, say

    with progress(f"looking {key} up"):
        found = installation().explain(sync, key)
    if as_json:
        print_json(found)
        return
    for sentence in found["explanation"]:
        say(sentence)


COMMANDS: tuple[click.Command, ...] = (runs, rejections, explain)
