"""A failure in words for history, and whether it was one or somebody's wish."""

from __future__ import annotations

from zsync_pipelines.errors import RunCancelledError, ZsyncError


def describe(failure: BaseException) -> str:
    """A failure in words for history: ours as they are; of others only the kind, since their text may hold values."""
    if isinstance(failure, ZsyncError):
        return str(failure)
    if is_cancellation(failure):
        return "the run was interrupted"
    return f"unexpected {type(failure).__name__}; this is a bug in zsync or a connector"


def is_cancellation(failure: BaseException) -> bool:
    """Whether somebody stopped the run: Ctrl-C, `zsync cancel`, or Dagster (whose interrupt is no Exception)."""
    return isinstance(failure, RunCancelledError | KeyboardInterrupt) or not isinstance(failure, Exception)
