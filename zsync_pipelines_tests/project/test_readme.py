"""The README's commands and every YAML and shell snippet of the documentation are run."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest
import yaml

from zsync_pipelines.config.yaml_catalog import load_files
from zsync_pipelines.demo.warehouse import build_warehouse

ROOT = Path(__file__).parents[2]
PAGES = sorted([ROOT / "README.md", *ROOT.glob("docs/*.md")])
FENCE = re.compile(r"```(\w+)\n(.*?)```", re.DOTALL)
KINDS = {"sources", "models", "audiences", "destinations", "syncs"}
COMMANDS = Path(sys.executable).parent


def snippets(language, pages=PAGES):
    return [
        pytest.param(text, id=f"{page.name}-{number}")
        for page in pages
        for number, (found, text) in enumerate(FENCE.findall(page.read_text()))
        if found == language
    ]


def run(command, folder, **env):
    environment = {**os.environ, "PATH": f"{COMMANDS}{os.pathsep}{os.environ['PATH']}", **env}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def test_the_readme_names_the_commands_that_the_makefile_has():
    makefile = (ROOT / "Makefile").read_text()
    for target in ("demo", "test"):
        assert f"make {target}" in (ROOT / "README.md").read_text()
        assert f"\n{target}: $(STAMP)" in makefile


def test_the_readme_walkthrough(tmp_path):
    """The configuration and the four commands, as a reader would type them."""
    text = (ROOT / "README.md").read_text()
    config = next(body for language, body in FENCE.findall(text) if language == "yaml")
    commands = next(body for language, body in FENCE.findall(text) if language == "sh" and "zsync apply" in body)
    build_warehouse(tmp_path / "shop.duckdb")
    with duckdb.connect(str(tmp_path / "shop.duckdb")) as connection:  # so that somebody bought lately
        connection.execute("UPDATE purchases SET purchased_on = CURRENT_DATE - 1")
    (tmp_path / "sync.yaml").write_text(config)
    for name in ("dagster.yaml", "workspace.yaml"):
        shutil.copy(ROOT / name, tmp_path)
    for line in commands.splitlines():
        command = shlex.split(line, comments=True)
        if command == ["zsync", "dev"]:
            command = ["dagster", "definitions", "validate", "-w", "workspace.yaml"]  # what it loads
        done = run(command, tmp_path)
        assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
        assert "Traceback" not in done.stderr
    shown = run(["zsync", "runs", "active_buyers_to_crm"], tmp_path).stdout
    assert "success" in shown
    assert "23,570" in shown


@pytest.mark.parametrize("text", snippets("yaml"))
def test_yaml_snippets_are_valid_configuration(text, tmp_path):
    document = yaml.safe_load(text)
    if not isinstance(document, dict) or not KINDS & document.keys():
        pytest.skip("a fragment, or configuration of Dagster")
    file = tmp_path / "snippet.yaml"
    file.write_text(text)
    assert [str(problem) for problem in load_files([file]).problems] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text()):
        if "://" not in target:
            assert (page.parent / target).exists(), target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_in_the_documentation_exist(page):
    from zsync_pipelines.cli.main import cli

    for _, body in FENCE.findall(page.read_text()):
        for line in body.splitlines():
            words = line.strip().split()
            if len(words) > 1 and words[0] == "zsync" and words[1].isidentifier():
                assert words[1] in cli.list_commands(None), line
