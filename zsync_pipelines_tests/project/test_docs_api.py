"""The calls of docs/api.md are made, against a server that was started as the page says."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import httpx
import pytest
from click.testing import CliRunner

from zsync_pipelines.api.app import create_api
from zsync_pipelines.api.openapi import describe
from zsync_pipelines.cli.main import cli
from zsync_pipelines.demo.warehouse import build_warehouse
from zsync_pipelines.orchestration.webserver import Webserver
from zsync_pipelines.service.bootstrap import open_zsync
from zsync_pipelines_tests.support.service import serving

PAGE = Path(__file__).parents[2] / "docs/api.md"
CALLS = re.findall(r"^curl (.*)$", PAGE.read_text(), re.MULTILINE)


def call(line: str, base: str, key: str) -> httpx.Response:
    """What curl would do."""
    words = iter(shlex.split(line.replace("$KEY", key)))
    method, url, headers, data = "GET", "", {}, None
    for word in words:
        if word == "-X":
            method = next(words)
        elif word == "-H":
            name, _, value = next(words).partition(": ")
            headers[name] = value
        elif word == "-d":
            data = next(words)
        else:
            url = word.replace("http://127.0.0.1:8642", base)
    return httpx.request(method, url, headers=headers, content=data)


@pytest.fixture(scope="module")
def answers(tmp_path_factory):
    folder = tmp_path_factory.mktemp("docs")
    build_warehouse(folder / "shop.duckdb")
    env = {"ZSYNC_HOME": str(folder / "home"), "ZSYNC_DAGSTER_URL": "http://127.0.0.1:9"}
    made = CliRunner().invoke(cli, ["api-key", "create", "docs", "--json"], env=env)
    key = re.search(r"zsk_[\w-]+", made.output)[0]
    with serving(folder, env) as base:
        return [call(line, base, key) for line in CALLS]


def test_every_call_does_what_the_page_says(answers):
    *created, read, triggered, runs = answers
    assert [answer.status_code for answer in created] == [201] * 5, [answer.text for answer in created]
    assert created[-1].headers["location"] == "/api/v1/audience-syncs/all_to_the_crm"
    assert read.json() == created[-1].json()
    assert triggered.status_code == 503, "there is no Dagster here, and nothing is queued"
    assert runs.json() == []


def test_the_keys_that_the_page_names_are_there(answers):
    row = re.search(r"one, with `([^`]*)`", PAGE.read_text())[1].split()
    assert set(row) <= set(answers[5].json())


def test_the_page_lists_every_call_of_the_document(api_paths):
    text = PAGE.read_text()
    for path in api_paths:
        words = [word for word in path.split("/") if word and not word.startswith("{") and word not in ("api", "v1")]
        assert words[-1] in text, path


@pytest.fixture
def api_paths(tmp_path):
    app = open_zsync({"ZSYNC_HOME": str(tmp_path)})
    return list(describe(create_api(app, Webserver(app.settings.dagster_url)))["paths"])
