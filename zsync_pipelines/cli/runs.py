"""Commands on runs: plan, run, cancel."""

from __future__ import annotations

import sys
from typing import Any

import click

from zsync_pipelines.cli.base import (
    EXIT_ERROR,
    EXIT_PARTIAL,
    check_run_options,
    command,
    json_option,
    print_json,
    run_options,
)
from zsync_pipelines.cli.installation import Document, installation


@command("plan", remote=True)
@click.argument("sync")
@run_options
@json_option
def plan(sync: str, as_json: bool, **options: Any) -> None:
    """Show what a run of SYNC would do.

    The exact adds, removes and updates, and what the guard says. Changes nothing anywhere.
    """
    check_run_options(options)
    from zsync_pipelines.cli.render import progress
    from zsync_pipelines.domain.run import RunOptions

    with progress(f"planning {sync}") as watch:
        report = installation().plan(sync, RunOptions(**options), watch)
    if as_json:
        print_json(report)
    else:
        _print_plan(report)


@command("run", remote=True)
@click.argument("sync")
@run_options
@json_option
def run(sync: str, as_json: bool, **options: Any) -> None:
    """Run SYNC now. Exit code 3 on a partial failure, 1 on an error."""
    check_run_options(options)
    from zsync_pipelines.cli.render import progress
    from zsync_pipelines.domain.run import RunOptions

    with progress(f"running {sync}") as watch:
        result = installation().run(sync, RunOptions(**options), watch)
    if as_json:
        print_json(result)
    else:
        _print_run(result)
    if result["status"] == "partial_failure":
        sys.exit(EXIT_PARTIAL)
    if result["status"] != "success":
        sys.exit(EXIT_ERROR)


@command("cancel", remote=True)
@click.argument("sync")
@json_option
def cancel(sync: str, as_json: bool) -> None:
    """Stop the run of SYNC that is under way.

    It stops after the batch in flight; what was sent is recorded, the next run does the rest. One that is
    only queued ends at once.
    """
    asked = installation().cancel(sync)
    if as_json:
        print_json({"run": asked})
    elif asked is None:
        click.echo(f"no run of sync '{sync}' is under way")
    elif asked["status"] == "cancelled":
        click.echo(f"run {asked['id']} of sync '{sync}' is cancelled: it had not begun")
    else:
        click.echo(f"run {asked['id']} of sync '{sync}' stops after the batch in flight")


@command("settle")
@click.argument("sync")
@json_option
def settle(sync: str, as_json: bool) -> None:
    """Ask for the verdicts that the destination of SYNC still owes.

    Of rows that it took and had not judged when their run ended. Sends nothing; every run asks first, too.
    """
    from zsync_pipelines.cli.render import progress
    from zsync_pipelines.service.bootstrap import open_zsync
    from zsync_pipelines.service.manage import find_sync
    from zsync_pipelines.service.settling import settle_pending

    app = open_zsync()
    find_sync(app, sync)
    with progress(f"asking about {sync}"):
        judged = settle_pending(app, sync)
    waiting = [run.id for run in app.runs.awaiting(sync)]
    if as_json:
        print_json({"sync_id": sync, "batches_judged": judged, "runs_waiting": waiting})
    elif judged or not waiting:
        click.echo(f"{judged} batches of sync '{sync}' were judged")
    if waiting and not as_json:
        click.echo(f"no verdict yet on all that these runs sent: {', '.join(waiting)}")


COMMANDS: tuple[click.Command, ...] = (plan, run, cancel, settle)


def _print_run(run: Document) -> None:
    from zsync_pipelines.cli.render import say, table

    say(f"run {run['id']} of {run['sync_id']}: {run['status']}", _style(run["status"]))
    shown = [("members", run["members"]), *((name, run[f"rows_{name}"]) for name in ("added", "removed", "updated"))]
    problems = [
        (name, run[f"rows_{name}"]) for name in ("failed", "invalid", "unconfirmed", "pending", "parked", "held")
    ]
    table(("rows", "count"), [*shown, *((name, count) for name, count in problems if count)], numbers=("count",))
    if run["error"]:
        say(run["error"], "red" if run["status"] == "error" else "yellow")
    if run["rows_failed"] or run["rows_parked"]:
        say(f"the destination's reasons: zsync rejections {run['sync_id']}")


def _print_plan(report: Document) -> None:
    from zsync_pipelines.cli.render import say, table, warn

    names = ["members", "rows_to_add", "rows_to_remove", "rows_to_update", "rows_held", "rows_invalid"]
    names += [name for name in ("rows_parked", "rows_pending") if report[name]]
    table(
        ("rows", "count"),
        [(name.removeprefix("rows_").replace("_", " "), report[name]) for name in names],
        numbers=("count",),
    )
    guard, sample = report["guard"], report["sample"]
    say(f"guard: {guard['verdict']}", "green" if guard["verdict"] == "pass" else "yellow")
    for reason in guard["reasons"]:
        say(f"  {reason}", "yellow")
    for op in ("add", "remove", "update"):
        keys = sample.get(op) or []
        if keys:
            say(f"to {op}, for example: {', '.join(str(key) for key in keys)}")
    invalid = sample.get("invalid") or []
    if invalid:
        say("invalid, for example:")
        table(("entity key", "field", "reason"), [(row["entity_key"], row["field"], row["reason"]) for row in invalid])
    for text in report["warnings"]:
        warn(f"warning: {text}")
    say("nothing was sent or stored")


def _style(status: str) -> str:
    return {"success": "green", "partial_failure": "yellow"}.get(status, "red")
