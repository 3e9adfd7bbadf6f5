"""`zsync demo`: the main job on real data, from nothing, and what it did."""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from zsync_pipelines.cli.base import EXIT_ERROR, ZsyncCommand, json_option, only_stderr, print_json
from zsync_pipelines.domain.run import RunStatus

if TYPE_CHECKING:
    from zsync_pipelines.demo.replay import Week

_TITLES = {
    "active_buyers_to_crm": "CRM table (mirror)",
    "active_buyers_to_files": "files (mirror)",
    "big_spenders_to_vips": "VIPs (additive)",
    "lapsed_out_of_newsletter": "newsletter (subtractive)",
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
        _print(replayed, folder)
    if not all(_is_right(week) for week in replayed):
        click.get_current_context().exit(EXIT_ERROR)


def _print(weeks: list[Week], folder: Path) -> None:
    console = Console()
    table = Table(title="Bought in the last 90 days, week by week: adds / removes / updates, and is it right?")
    table.add_column("as of")
    table.add_column("members", justify="right")
    for title in _TITLES.values():
        table.add_column(title, justify="right")
    for week in weeks:
        cells = []
        for sync in _TITLES:
            counts = week.runs[sync].counts
            mark = "[green]✓[/]" if week.checks[sync] and week.runs[sync].status is RunStatus.SUCCESS else "[red]✗[/]"
            cells.append(f"{counts.added} / {counts.removed} / {counts.updated} {mark}")
        table.add_row(str(week.as_of), str(week.runs["active_buyers_to_crm"].members), *cells)
    console.print(table)
    if all(_is_right(week) for week in weeks):
        console.print(
            "[green]✓[/] after every run the destination equalled a computation from the purchases alone, which "
            "shares no code with zsync"
        )
    else:
        console.print("[red]✗[/] some destination is not what it should be; please report this")
    console.print(
        f"\nWhat it made, in [bold]{folder}[/]:\n"
        "  zsync.yaml     the configuration: change it, then `zsync apply zsync.yaml`\n"
        "  shop.duckdb    the warehouse that audiences are evaluated in\n"
        "  crm.db         the destination tables contacts, vips and newsletter (SQLite)\n"
        "  exports/       one folder a run: adds, updates, removes and a manifest\n"
        f"\nGo on:\n"
        f"  cd {folder} && dagster dev                          the assets, runs and plots, on http://127.0.0.1:3000\n"
        f"  cd {folder} && zsync runs active_buyers_to_crm      the history\n"
        f"  cd {folder} && zsync explain active_buyers_to_crm 1 why a customer is there or not",
        highlight=False,
        soft_wrap=True,
    )


def _is_right(week: Week) -> bool:
    return all(week.checks.values()) and all(run.status is RunStatus.SUCCESS for run in week.runs.values())


def _json(week: Week) -> dict[str, Any]:
    return {
        "as_of": week.as_of.isoformat(),
        "runs": {sync: run.to_json() for sync, run in week.runs.items()},
        "destination_is_right": dict(week.checks),
    }
