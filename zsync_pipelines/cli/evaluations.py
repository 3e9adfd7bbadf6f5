"""Commands on evaluations of audiences: evaluate, history."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING

import click

from zsync_pipelines.cli.base import AsOf, command, json_option, only_stderr, print_json

if TYPE_CHECKING:
    from zsync_pipelines.service.evaluation_history import EvaluationSummary


@command("evaluate")
@click.argument("audience_id", metavar="ID")
@click.option("--as-of", type=AsOf(), help="Evaluate as of this date or time (default: now).")
@json_option
def evaluate(audience_id: str, as_of: datetime | None, as_json: bool) -> None:
    """Evaluate audience ID now, and keep the result for its syncs.

    Scheduled syncs of an audience with an evaluation_schedule read it; those with schedule on_evaluation run.
    """
    from zsync_pipelines.cli.render import progress
    from zsync_pipelines.errors import EvaluationError
    from zsync_pipelines.service.audience_setup import load_audience
    from zsync_pipelines.service.bootstrap import open_zsync
    from zsync_pipelines.service.evaluation_history import summarize

    app = open_zsync()
    load_audience(app, audience_id)  # a mistyped id is answered before anything heavy is loaded
    with only_stderr(), progress(f"evaluating {audience_id}") as watch:
        from zsync_pipelines.orchestration.launch import launch_evaluation

        made = launch_evaluation(replace(app, watch=watch), audience_id, as_of)
    if made.found is None:
        raise EvaluationError(f"evaluation {made.id} of audience '{audience_id}' failed: {made.error}")
    summary = summarize(app, made)
    if as_json:
        print_json(summary.to_json())
    else:
        _print_evaluation(summary)


@command("history")
@click.argument("audience_id", metavar="ID")
@click.option("--limit", type=click.IntRange(min=1), default=20, show_default=True, help="How many to show.")
@json_option
def history(audience_id: str, limit: int, as_json: bool) -> None:
    """Show the evaluations of audience ID and its size over time, newest first."""
    from zsync_pipelines.cli.render import moment, say, table
    from zsync_pipelines.service.bootstrap import open_zsync
    from zsync_pipelines.service.evaluation_history import list_evaluations

    found = list_evaluations(open_zsync(), audience_id, limit)
    if as_json:
        print_json([summary.to_json() for summary in found])
        return
    if not found:
        say(f"audience '{audience_id}' was not evaluated yet; `zsync audience evaluate {audience_id}` does it")
        return
    rows = [
        (
            s.evaluation.id,
            s.evaluation.status.value,
            s.evaluation.trigger.value,
            moment(s.evaluation.as_of),
            moment(s.evaluation.started_at),
            s.evaluation.duration_seconds,
            s.evaluation.found.members if s.evaluation.found else None,
            _signed(s),
        )
        for s in found
    ]
    columns = ("evaluation", "status", "trigger", "as of", "started", "seconds", "members", "change")
    table(columns, rows, numbers=("seconds", "members", "change"))
    if found[0].evaluation.error:
        say(f"the newest: {found[0].evaluation.error}", "red")


COMMANDS: tuple[click.Command, ...] = (evaluate, history)


def _print_evaluation(summary: EvaluationSummary) -> None:
    from zsync_pipelines.cli.render import say, table, warn
    from zsync_pipelines.domain.run import utc_text

    made, found = summary.evaluation, summary.evaluation.found
    assert found is not None  # noqa: S101  # one that failed was reported before
    say(f"evaluation {made.id} of {made.audience_id} as of {utc_text(made.as_of)}: success", "green")
    rows: list[tuple[str, object]] = [("members", found.members)]
    if summary.change is not None:
        rows.append(("change", _signed(summary)))
    unclean = {"null keys": found.null_keys, "duplicate rows": found.duplicate_rows}
    rows += [(name, count) for name, count in {**unclean, "conflicting keys": found.conflicting_keys}.items() if count]
    table(("rows", "count"), rows, numbers=("count",))
    if any(unclean.values()):
        warn("warning: the model's entity key is null or repeated in the source")


def _signed(summary: EvaluationSummary) -> str | None:
    change = summary.change
    if change is None:
        return None
    percent = f" ({change.percent:+.1f}%)" if change.percent is not None else ""
    return f"{change.members:+,}{percent}"
