"""Commands on configuration: apply, list, pause, resume, delete, check."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from zsync_pipelines.cli.base import EXIT_ERROR, command, json_option, operator, print_json
from zsync_pipelines.cli.installation import Document, installation

if TYPE_CHECKING:
    from zsync_pipelines.service.apply_report import ApplyReport


@command("apply")
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="PATH...")
@click.option("--prune", is_flag=True, help="Also delete file-managed objects that the files no longer hold.")
@click.option("--dry-run", is_flag=True, help="Validate and show what would change; store nothing.")
@click.option("--offline", is_flag=True, help="Do not check tables and columns in the sources.")
@click.option("--take-over", is_flag=True, help="Let the files manage what the API managed, such as after an export.")
@json_option
def apply(paths: tuple[Path, ...], prune: bool, dry_run: bool, offline: bool, take_over: bool, as_json: bool) -> None:
    """Validate configuration files and store them.

    PATH is a YAML file, or a folder whose *.yaml and *.yml files are merged. All or nothing. What changes is checked
    against its source, which must answer, unless --offline is given.
    """
    from zsync_pipelines.cli.render import progress, warn
    from zsync_pipelines.orchestration.reload import ask_for_reload
    from zsync_pipelines.service.apply import apply_paths
    from zsync_pipelines.service.bootstrap import open_zsync

    with progress("checking"):
        app, actor = open_zsync(), operator()
        report = apply_paths(
            app, paths, prune=prune, dry_run=dry_run, offline=offline, take_over=take_over, actor=actor
        )
    if not dry_run and (report.created or report.changed or report.deleted):
        ask_for_reload()
    for problem in report.unchecked:
        warn(f"not checked: {problem}")
    if as_json:
        print_json(report.to_json())
    else:
        _print_report(report)


@command("list", remote=True)
@json_option
def list_command(as_json: bool) -> None:
    """List syncs with status and last run."""
    summaries = installation().list_syncs()
    if as_json:
        print_json(summaries)
    else:
        _print_syncs(summaries)


@command("pause", remote=True)
@click.argument("sync")
@json_option
def pause(sync: str, as_json: bool) -> None:
    """Pause SYNC.

    Scheduled runs do nothing until it is resumed, whatever is applied meanwhile; `zsync run` still works.
    """
    installation().pause(sync)
    _answer({"id": sync, "status": "paused"}, f"sync '{sync}' is paused until `zsync resume {sync}`", as_json)


@command("resume", remote=True)
@click.argument("sync")
@json_option
def resume(sync: str, as_json: bool) -> None:
    """Resume SYNC.

    Its next run covers everything since the last one.
    """
    installation().resume(sync)
    _answer({"id": sync, "status": "active"}, f"sync '{sync}' is active", as_json)


@command("delete", remote=True)
@click.argument("sync")
@json_option
def delete(sync: str, as_json: bool) -> None:
    """Delete SYNC. Its history stays, and what it put at its destination is left alone."""
    managed_by = installation().delete(sync)
    text = f"sync '{sync}' is deleted; what it put at its destination is left alone"
    if managed_by == "files":
        text += "\nit comes back when a file that still holds it is applied: take it out there too"
    _answer({"id": sync, "deleted": True}, text, as_json)


@command("check", remote=True)
@click.argument("destination", required=False)
@json_option
def check(destination: str | None, as_json: bool) -> None:
    """Check destinations, sources and alerts.

    Credentials, permissions and fields of DESTINATION, or of all destinations; then also the sources' tables and the
    targets of alerts, to which nothing is sent.
    """
    from zsync_pipelines.cli.render import progress, table

    with progress("checking"):
        steps = installation().check(destination)
    failed = any(step["status"] == "failed" for step in steps)
    if as_json:
        print_json({"ok": not failed, "steps": steps})
    elif steps:
        table(
            ("checked", "with sync", "step", "result", "detail"),
            [(f"{s['kind']} {s['id']}", s["sync_id"], s["step"], s["status"], s["detail"]) for s in steps],
        )
    else:
        click.echo("nothing to check: no destination and no model is configured")
    if failed:
        sys.exit(EXIT_ERROR)


COMMANDS: tuple[click.Command, ...] = (apply, list_command, check, pause, resume, delete)


def _answer(document: dict[str, Any], text: str, as_json: bool) -> None:
    if as_json:
        print_json(document)
    else:
        click.echo(text)


def _print_report(report: ApplyReport) -> None:
    from zsync_pipelines.cli.render import say, warn
    from zsync_pipelines.domain.wording import listed
    from zsync_pipelines.service.apply_report import shown

    for problem in report.warnings:
        warn(f"warning: {problem}")
    for key in report.created:
        say(f"created    {shown(key)}", "green")
    for key, keys in report.changed.items():
        say(f"changed    {shown(key)}" + (f" ({', '.join(keys)})" if keys else ""), "yellow")
    for key in report.deleted:
        say(f"deleted    {shown(key)}", "red")
    for key in report.unchanged:
        say(f"unchanged  {shown(key)}")
    if report.left:
        say(f"left alone {listed(shown(key) for key in report.left)} (not in these files; --prune deletes them)")
    for note in report.notes:
        say(f"note: {note}")
    counts = ", ".join(
        f"{len(getattr(report, name))} {name}" for name in ("created", "changed", "unchanged", "deleted")
    )
    say(f"dry run, nothing is stored: {counts}" if report.dry_run else counts)


def _print_syncs(summaries: list[Document]) -> None:
    from zsync_pipelines.cli.render import moment, say, table

    if not summaries:
        say("no syncs yet; write a configuration file and run `zsync apply FILE`")
        return
    rows = []
    for sync in summaries:
        run = sync["last_run"]
        status = "broken" if sync["broken"] else sync["status"]
        last = (run["status"], moment(run["finished_at"] or run["started_at"])) if run else (None, None)
        configured = (sync[name] for name in ("id", "audience_id", "destination_id", "sync_mode", "schedule"))
        rows.append((*configured, status, *last))
    table(("sync", "audience", "destination", "mode", "schedule", "status", "last run", "at"), rows)
    for sync in summaries:
        if sync["broken"]:
            say(f"broken: {sync['id']}: {sync['broken']}", "red")
        for failed in sync["alert_failures"]:
            place, failure = f"alerts.{failed['target']}", failed["failure"]
            say(f"alert not sent: {sync['id']}: {place}: {failure} ({moment(failed['failed_at'])})", "red")
