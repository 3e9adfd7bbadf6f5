"""What every asset's body needs: progress as log lines, and our errors as Dagster failures."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg

from zsync_pipelines.domain.run import Trigger
from zsync_pipelines.errors import ZsyncError
from zsync_pipelines.orchestration.tags import RUN_TAG, TRIGGER_TAG
from zsync_pipelines.service.bootstrap import Progress, Zsync

_LOG_SECONDS = 5


def trigger_of(context: dg.AssetExecutionContext) -> Trigger:
    """What started this Dagster run; a person, unless a tag says otherwise."""
    return Trigger(context.run.tags.get(TRIGGER_TAG, Trigger.MANUAL.value))


def progress_of(app: Zsync, context: dg.AssetExecutionContext) -> Progress:
    """Progress for whoever watches this process, and as log lines, at most one in some seconds."""
    last = time.monotonic()

    def report(what: str, done: int, total: int | None) -> None:
        nonlocal last
        app.watch(what, done, total)
        if time.monotonic() - last >= _LOG_SECONDS:
            last = time.monotonic()
            context.log.info(f"{done:,}{f' of {total:,}' if total else ''} {what}")

    return report


def queued_run_of(context: dg.AssetExecutionContext) -> str | None:
    """The id of the queued run for which this Dagster run was launched; None where it was launched for itself, also as
    another try of an earlier one."""
    return None if context.run.parent_run_id else context.run.tags.get(RUN_TAG)


@contextmanager
def as_failures() -> Iterator[None]:
    """Our errors as Dagster failures: their text, without a stack trace and without a retry."""
    try:
        yield
    except ZsyncError as error:
        raise dg.Failure(str(error), allow_retries=False) from None
