"""One stage per case."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from zsync_pipelines_tests.connectors.cases import CASES
from zsync_pipelines_tests.connectors.stage import Stage, stage_of


@pytest.fixture(params=CASES, ids=lambda case: case.id)
def stage(request, tmp_path) -> Iterator[Stage]:
    with stage_of(request.param, tmp_path) as found:
        yield found
