"""Commands on runs: plan, run, cancel."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from zsync_pipelines.cli.base import (
    EXIT_ERROR,
    EXIT_PARTIAL,
    check_run_options,
    command,
    json_option,
    only_stderr,
    print_json,
    run_options,
)

if TYPE_CHECKING:
    from zsync_pipelines.domain.run import SyncRun
    from zsync_pipelines.service.plan import PlanReport


@command("plan")
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
    from zsync_pipelines.service.bootstrap import open_zsync
    from zsync_pipelines.service.manage import find_sync

    app = open_zsync()
    find_sync(app, sync)  # a mistyped id is answered before anything heavy is loaded
    from zsync_pipelines.service.plan import plan_sync

    with progress(f"planning {sync}") as watch:
        report = plan_sync(app, sync, RunOptions(**options), watch)
    if as_json:
        print_json(report.to_json())
    else:
        _print_plan(report)


@command("run")
@click.argument("sync")
@run_options
@json_option
def run(sync: str, as_json: bool, **options: Any) -> None:
    """Run SYNC now. Exit code 3 on a partial failure, 1 on an error."""
    check_run_options(options)
    from zsync_pipelines.cli.render import progress
    from zsync_pipelines.domain.run import RunOptions, RunStatus, Trigger
    from zsync_pipelines.service.bootstrap import open_zsync
    from zsync_pipelines.service.manage import find_sync

    app = open_zsync()
    find_sync(app, sync)  # as above
    with only_stderr(), progress(f"running {sync}") as watch:
        from zsync_pipelines.orchestration.launch import launch_sync

        result = launch_sync(sync, RunOptions(**options), Trigger.MANUAL, replace(app, watch=watch))
    if as_json:
        print_json(result.to_json())
    else:
        _print_run(result)
    if result.status is RunStatus.PARTIAL_FAILURE:
        sys.exit(EXIT_PARTIAL)
    if result.status is not RunStatus.SUCCESS:
        sys.exit(EXIT_ERROR)


@command("cancel")
@click.argument("sync")
@json_option
def cancel(sync: str, as_json: bool) -> None:
    """Stop the run of SYNC that is under way.

    It stops after the batch in flight; what was sent is recorded, the next run does the rest.
    """
    from zsync_pipelines.service.bootstrap import open_zsync
    from zsync_pipelines.service.run_history import request_cancel

    asked = request_cancel(open_zsync(), sync)
    if as_json:
        print_json({"run": None if asked is None else asked.to_json()})
    elif asked is None:
        click.echo(f"no run of sync '{sync}' is under way")
    else:
        click.echo(f"run {asked.id} of sync '{sync}' stops after the batch in flight")


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


def _print_run(result: SyncRun) -> None:
    from zsync_pipelines.cli.render import say, table
    from zsync_pipelines.domain.run import RunStatus

    say(f"run {result.id} of {result.sync_id}: {result.status.value}", _style(result.status))
    counts = result.counts
    shown = [
        ("members", result.members),
        ("added", counts.added),
        ("removed", counts.removed),
        ("updated", counts.updated),
    ]
    problems = [
        (name, getattr(counts, name)) for name in ("failed", "invalid", "unconfirmed", "pending", "parked", "held")
    ]
    table(("rows", "count"), [*shown, *((name, count) for name, count in problems if count)], numbers=("count",))
    if result.error:
        say(result.error, "red" if result.status is RunStatus.ERROR else "yellow")
    if counts.failed or counts.parked:
        say(f"the destination's reasons: zsync rejections {result.sync_id}")


def _print_plan(report: PlanReport) -> None:
    from zsync_pipelines.cli.render import say, table, warn

    names = ["members", "rows_to_add", "rows_to_remove", "rows_to_update", "rows_held", "rows_invalid"]
    names += [name for name in ("rows_parked", "rows_pending") if getattr(report, name)]
    table(
        ("rows", "count"),
        [(name.removeprefix("rows_").replace("_", " "), getattr(report, name)) for name in names],
        numbers=("count",),
    )
    say(f"guard: {report.guard['verdict']}", "green" if report.guard["verdict"] == "pass" else "yellow")
    for reason in report.guard["reasons"]:
        say(f"  {reason}", "yellow")
    for op in ("add", "remove", "update"):
        keys = report.sample.get(op) or []
        if keys:
            say(f"to {op}, for example: {', '.join(str(key) for key in keys)}")
    invalid = report.sample.get("invalid") or []
    if invalid:
        say("invalid, for example:")
        table(("entity key", "field", "reason"), [(row["entity_key"], row["field"], row["reason"]) for row in invalid])
    for text in report.warnings:
        warn(f"warning: {text}")
    say("nothing was sent or stored")


def _style(status: Any) -> str:
    return {"success": "green", "partial_failure": "yellow"}.get(str(status), "red")
