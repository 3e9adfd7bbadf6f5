"""What Dagster loads: `dagster dev`, `dagster job execute -m zsync_pipelines.definitions -j sync_<id>`."""

from __future__ import annotations

import gc
from functools import cache

import dagster as dg


@cache
def _loaded() -> dg.Definitions:
    """Made once in a process, though Dagster asks five times in one `job execute`; to reload, it starts another.

    What is imported and built here stays until the process ends, so the garbage collector has nothing to find in it:
    not meanwhile, not later, not at the end. That would be a quarter of the time of a run with nothing to do.
    """
    collecting = gc.isenabled()
    gc.disable()
    try:
        from zsync_pipelines.orchestration.build import build_definitions
        from zsync_pipelines.service.bootstrap import open_zsync

        return build_definitions(open_zsync())
    finally:
        gc.freeze()
        if collecting:
            gc.enable()


@dg.definitions
def defs() -> dg.Definitions:
    """Every stored sync."""
    return _loaded()
