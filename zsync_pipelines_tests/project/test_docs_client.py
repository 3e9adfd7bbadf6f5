"""The program of docs/client.md is run against the real API, and prints what its comments say."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from zsync_pipelines.client import ZsyncClient
from zsync_pipelines.demo.warehouse import build_warehouse
from zsync_pipelines.domain.actor import Actor
from zsync_pipelines.domain.api_key import Scope
from zsync_pipelines.service.api_keys import create_key
from zsync_pipelines.service.bootstrap import open_zsync
from zsync_pipelines_tests.support.in_process_api import serving

PAGE = (Path(__file__).parents[2] / "docs/client.md").read_text()
SNIPPETS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
SHOWN = re.findall(r"print\(.*\)  # (.*)", "".join(SNIPPETS))


def test_the_program_prints_what_the_page_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    build_warehouse(tmp_path / "shop.duckdb")
    app = open_zsync({"ZSYNC_HOME": str(tmp_path / "home")})
    monkeypatch.setenv("ZSYNC_API_KEY", create_key(app, "docs", list(Scope), None, Actor("cli", "ann"))[1])
    with serving(app, monkeypatch) as address:
        monkeypatch.setenv("ZSYNC_API_URL", address)
        exec("\n".join(SNIPPETS), {})  # the page's own program
    printed = capsys.readouterr().out.splitlines()
    assert len(SHOWN) == 4
    assert [line for line in printed if line in SHOWN] == SHOWN
    assert any(line.startswith("audience_id ") for line in printed), "the faults of the last snippet"


def test_the_page_names_every_method() -> None:
    methods = {name for name in vars(ZsyncClient) if not name.startswith("_")}
    assert {name for name in methods if not re.search(rf"\b{name}\(", PAGE)} == set()
