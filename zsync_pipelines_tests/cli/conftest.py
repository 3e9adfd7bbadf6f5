from __future__ import annotations

from pathlib import Path

import pytest

from zsync_pipelines_tests.cli.faces import Commands


@pytest.fixture
def zsync(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Commands:
    monkeypatch.setenv("ZSYNC_HOME", str(tmp_path / "home"))
    for name in ("ZSYNC_DATABASE_URL", "ZSYNC_STORAGE_URL", "ZSYNC_DEBUG", "ZSYNC_API_URL"):
        monkeypatch.delenv(name, raising=False)
    return Commands(tmp_path, monkeypatch)
