"""Commands on history: runs, rejections, explain."""

from __future__ import annotations

from itertools import islice

import click

from zsync_pipelines.cli.base import command, json_option, print_json, print_json_array

_MOST_SHOWN = 1_000


@command("runs")
@click.argument("sync")
@click.option("--limit", type=click.IntRange(min=1), default=20, show_default=True, help="How many runs to show.")
@json_option
def runs(sync: str, limit: int, as_json: bool) -> None:
    """Show the runs of SYNC, newest first."""
    from zsync_pipelines.cli.render import moment, say, table
    from zsync_pipelines.service.bootstrap import open_zsync
    from zsync_pipelines.service.run_history import list_runs

    found = list_runs(open_zsync(), sync, limit)
    if as_json:
        print_json([run.to_json() for run in found])
        return
    if not found:
        say(f"sync '{sync}' has not run yet; `zsync run {sync}` runs it")
        return
    names = ("added", "removed", "updated", "failed", "invalid", "held")
    rows = [
        (
            r.id,
            r.status.value,
            r.trigger.value,
            moment(r.as_of),
            moment(r.started_at),
            r.duration_seconds,
            r.members,
            *(getattr(r.counts, name) for name in names),
        )
        for r in found
    ]
    columns = ("run", "status", "trigger", "as of", "started", "seconds", "members", *names)
    table(columns, rows, numbers=("seconds", "members", *names))
    newest = found[0]
    if newest.error:
        say(f"newest run: {newest.error}")


@command("rejections")
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
    from zsync_pipelines.service.bootstrap import open_zsync
    from zsync_pipelines.service.history import free_parked, list_rejections

    app = open_zsync()
    if retry:
        if run_id is not None:
            raise click.UsageError("--retry frees every parked row of the sync; it does not go with --run")
        freed = free_parked(app, sync)
        if as_json:
            print_json({"sync_id": sync, "freed": freed})
        elif freed:
            say(f"{freed} parked rows of sync '{sync}' are tried again by its next run")
        else:
            say(f"sync '{sync}' has no parked rows")
        return
    found = list_rejections(app, sync, run_id)
    if as_json:
        print_json_array(refused.to_json() for refused in islice(found, limit))
        return
    shown = list(islice(found, limit or _MOST_SHOWN))
    if not shown:
        say(f"no refused rows of sync '{sync}'" + (f" in run {run_id}" if run_id else ""))
        return
    rows = [
        (r.entity_key, r.op.value, r.attempts, parked, r.reason, moment(r.first_at), moment(r.last_at), r.run_id)
        for r, parked in ((refused.row, "yes" if refused.parked else None) for refused in shown)
    ]
    names = ("entity key", "op", "attempts", "parked", "reason", "first", "last", "run")
    table(names, rows, numbers=("attempts",))
    more = sum(1 for _ in found)
    if more:
        say(f"and {more:,} more; --limit {len(shown) + more} or --json shows all")


@command("explain")
@click.argument("sync")
@click.argument("key")
@json_option
def explain(sync: str, key: str, as_json: bool) -> None:
    """Explain why KEY is or is not at the destination of SYNC.

    KEY is an entity key, as the model's source holds it.
    """
    from zsync_pipelines.cli.render import progress, say
    from zsync_pipelines.service.bootstrap import open_zsync
    from zsync_pipelines.service.explain import explain as explain_key

    with progress(f"looking {key} up"):
        found = explain_key(open_zsync(), sync, key)
    if as_json:
        print_json(found.to_json())
        return
    for sentence in found.sentences:
        say(sentence)


COMMANDS: tuple[click.Command, ...] = (runs, rejections, explain)
