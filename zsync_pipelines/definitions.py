"""What Dagster loads: `dagster dev`, `dagster job execute -m zsync_pipelines.definitions -j sync_<id>`."""

from __future__ import annotations

from functools import cache

import dagster as dg

from zsync_pipelines.orchestration.build import build_definitions
from zsync_pipelines.service.bootstrap import Zsync, open_zsync


@cache
def _app() -> Zsync:
    """One connection to the control database per process, however often Dagster asks for the definitions."""
    return open_zsync()


@dg.definitions
def defs() -> dg.Definitions:
    """Every stored sync."""
    return build_definitions(_app())
