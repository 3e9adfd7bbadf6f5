"""Apply configuration files: everything is checked together, and then stored together or not at all."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from zsync_pipelines.config.yaml_catalog import load_files
from zsync_pipelines.domain.actor import FILES, Actor
from zsync_pipelines.domain.config import ManagedBy
from zsync_pipelines.service.apply_report import ApplyReport
from zsync_pipelines.service.bootstrap import Zsync
from zsync_pipelines.service.decision import Decision


def apply_paths(
    app: Zsync,
    paths: Sequence[Path],
    *,
    prune: bool = False,
    dry_run: bool = False,
    offline: bool = False,
    take_over: bool = False,
    actor: Actor = FILES,
) -> ApplyReport:
    """Validate files and folders and store what they hold. All or nothing.

    `prune` also deletes file-managed objects that the files no longer hold; `take_over` lets files manage what the API
    managed. What changes is checked against its source
    too, unless `offline`; what does not is not asked about again. Raises ConfigError with every fault.
    """
    files = load_files(paths)
    decision = Decision(app, files, app.catalog.load(), prune=prune, take_over=take_over)
    unchecked = decision.unchecked() if offline else decision.ask_outside()
    decision.refuse()
    if not dry_run and decision.has_changes:
        with app.catalog.editing() as edit:  # decide again: somebody may have written meanwhile
            decision = Decision(app, files, edit.loaded, prune=prune, take_over=take_over)
            decision.refuse()
            edit.save(decision.upserts, decision.deletes, ManagedBy.FILES, app.clock(), actor)
    return decision.report(unchecked, dry_run=dry_run)
