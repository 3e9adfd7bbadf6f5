"""`zsync demo`: the main job on real data, from nothing, and what it did."""

from __future__ import annotations

import logging
import shutil
import sys
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from zsync_pipelines.cli.base import EXIT_ERROR, ZsyncCommand, json_option, only_stderr, print_json

if TYPE_CHECKING:
    from rich.console import Console

    from zsync_pipelines.demo.replay import Week
    from zsync_pipelines.domain.run import SyncRun

_TITLES = {
    "active_buyers_to_crm": "CRM table\nmirror",
    "active_buyers_to_files": "files\nmirror",
    "big_spenders_to_vips": "VIPs\nadditive",
    "lapsed_out_of_newsletter": "newsletter\nsubtractive",
}


@click.command("demo", cls=ZsyncCommand)
@click.option(
    "--folder",
    type=click.Path(path_type=Path),
    default=Path("zsync_demo"),
    show_default=True,
    help="Where to build it.",
)
@click.option("--weeks", type=click.IntRange(1, 36), default=13, show_default=True, help="How many weeks to replay.")
@json_option
def demo(folder: Path, weeks: int, as_json: bool) -> None:
    """Sync 23,570 real customers week by week, and check every destination against the purchases."""
    from rich.console import Console
    from rich.progress import Progress

    from zsync_pipelines.demo.replay import Demo

    logging.getLogger("dagster").setLevel(logging.ERROR)
    replayed: list[Week] = []
    console = Console(stderr=True)
    with only_stderr(), Progress(console=console, transient=True, disable=not sys.stderr.isatty()) as progress:
        task = progress.add_task("replaying weeks of 1997", total=weeks)
        for week in Demo(folder.absolute()).replay(weeks):
            replayed.append(week)
            progress.advance(task)
    if as_json:
        print_json([_json(week) for week in replayed])
    else:
        _print(replayed, folder, Console())
    if not all(_is_right(week) for week in replayed):
        click.get_current_context().exit(EXIT_ERROR)


def _print(weeks: list[Week], folder: Path, console: Console) -> None:
    from rich import box
    from rich.table import Table

    table = Table(
        title="Week by week: +added -removed ~updated", box=box.SIMPLE_HEAD, padding=(0, 0, 0, 1), pad_edge=False
    )
    table.add_column("as of", no_wrap=True)
    table.add_column("members", justify="right")
    for title in _TITLES.values():
        table.add_column(title, justify="right")
    for week in weeks:
        members = week.runs["active_buyers_to_crm"].members
        table.add_row(str(week.as_of), f"{members:,}", *(_cell(week, sync) for sync in _TITLES))
    console.print(table)
    if all(_is_right(week) for week in weeks):
        console.print(
            "[green]✓[/] After every run the destination equalled a computation from the purchases alone, which shares "
            "no code with zsync."
        )
    else:
        console.print("[red]✗[/] Some destination is not what it should be; please report this.")
    console.print(
        f"\nWhat it made, in [bold]{folder}[/]:\n"
        "  zsync.yaml   the configuration: change it, then `zsync apply zsync.yaml`\n"
        "  shop.duckdb  the warehouse that audiences are evaluated in\n"
        "  crm.db       the destination tables contacts, vips and newsletter (SQLite)\n"
        "  exports      one folder a run: adds, updates, removes and a manifest\n"
        f"\nGo on:{_activation()}\n"
        f"  cd {folder}\n"
        "  dagster dev                            assets, runs and plots, on http://127.0.0.1:3000\n"
        "  zsync runs active_buyers_to_crm        the history\n"
        "  zsync explain active_buyers_to_crm 4   why a customer is there or not\n"
        "\nThe purchases end in 1998: a run as of today finds an empty audience, and the guard holds every removal.\n"
        f"The next week is `zsync run active_buyers_to_crm --as-of {weeks[-1].as_of + timedelta(weeks=1)}`.",
        highlight=False,
        soft_wrap=True,
    )


def _cell(week: Week, sync: str) -> str:
    """What a run did, and whether its destination is right."""
    counts = week.runs[sync].counts
    parts = [f"{sign}{n}" for sign, n in (("+", counts.added), ("-", counts.removed), ("~", counts.updated)) if n]
    right = week.checks[sync] and _succeeded(week.runs[sync])
    return f"{' '.join(parts) or 'nothing'} {'[green]✓[/]' if right else '[red]✗[/]'}"


def _activation() -> str:
    """How to get the commands on the path, where they are not."""
    if shutil.which("dagster") is not None:
        return ""
    return f"\n  source {Path(sys.prefix) / 'bin' / 'activate'}"


def _is_right(week: Week) -> bool:
    return all(week.checks.values()) and all(map(_succeeded, week.runs.values()))


def _succeeded(run: SyncRun) -> bool:
    from zsync_pipelines.domain.run import RunStatus

    return run.status is RunStatus.SUCCESS


def _json(week: Week) -> dict[str, Any]:
    return {
        "as_of": week.as_of.isoformat(),
        "runs": {sync: run.to_json() for sync, run in week.runs.items()},
        "destination_is_right": dict(week.checks),
    }
