"""Commands on evaluations of audiences: evaluate, history."""

from __future__ import annotations

from datetime import datetime

import click

from zsync_pipelines.cli.base import AsOf, command, json_option, print_json
from zsync_pipelines.cli.installation import Document, installation


@command("evaluate", remote=True)
@click.argument("audience_id", metavar="ID")
@click.option("--as-of", type=AsOf(), help="Evaluate as of this date or time (default: now).")
@json_option
def evaluate(audience_id: str, as_of: datetime | None, as_json: bool) -> None:
    """Evaluate audience ID now, and keep the result for its syncs.

    Scheduled syncs of an audience with an evaluation_schedule read it; those with schedule on_evaluation run.
    """
    from zsync_pipelines.cli.render import progress

    with progress(f"evaluating {audience_id}") as watch:
        made = installation().evaluate(audience_id, as_of, watch)
    if as_json:
        print_json(made)
    else:
        _print_evaluation(made)


@command("history", remote=True)
@click.argument("audience_id", metavar="ID")
@click.option("--limit", type=click.IntRange(min=1), default=20, show_default=True, help="How many to show.")
@json_option
def history(audience_id: str, limit: int, as_json: bool) -> None:
    """Show the evaluations of audience ID and its size over time, newest first."""
    from zsync_pipelines.cli.render import moment, say, table

    found = installation().evaluations(audience_id, limit)
    if as_json:
        print_json(found)
        return
    if not found:
        say(f"audience '{audience_id}' was not evaluated yet; `zsync audience evaluate {audience_id}` does it")
        return
    rows = [
        (
            *(made[name] for name in ("id", "status", "trigger")),
            *(moment(made[name]) for name in ("as_of", "started_at")),
            *(made[name] for name in ("duration_seconds", "members")),
            _signed(made),
        )
        for made in found
    ]
    columns = ("evaluation", "status", "trigger", "as of", "started", "seconds", "members", "change")
    table(columns, rows, numbers=("seconds", "members", "change"))
    if found[0]["error"]:
        say(f"the newest: {found[0]['error']}", "red")


COMMANDS: tuple[click.Command, ...] = (evaluate, history)


def _print_evaluation(made: Document) -> None:
    from zsync_pipelines.cli.render import say, table, warn

    say(f"evaluation {made['id']} of {made['audience_id']} as of {made['as_of']}: success", "green")
    rows: list[tuple[str, object]] = [("members", made["members"])]
    change = _signed(made)
    if change is not None:
        rows.append(("change", change))
    unclean = {"null keys": made["null_keys"], "duplicate rows": made["duplicate_rows"]}
    counts = {**unclean, "conflicting keys": made["conflicting_keys"]}
    rows += [(name, count) for name, count in counts.items() if count]
    table(("rows", "count"), rows, numbers=("count",))
    if any(unclean.values()):
        warn("warning: the model's entity key is null or repeated in the source")


def _signed(made: Document) -> str | None:
    change, percent = made.get("change"), made.get("change_percent")
    if change is None:
        return None
    return f"{change:+,}" + (f" ({percent:+.1f}%)" if percent is not None else "")
