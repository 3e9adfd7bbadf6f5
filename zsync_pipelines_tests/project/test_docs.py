"""The documentation's terminal sessions are run, and print what the documentation says.

`ZSYNC_DOCS=write` puts what they print now into the pages.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import pytest

from zsync_pipelines.demo.warehouse import build_warehouse

ROOT = Path(__file__).parents[2]
SESSION = re.compile(r"```console\n(.*?)```", re.DOTALL)
PAGES = [page for page in sorted(ROOT.glob("docs/*.md")) if SESSION.search(page.read_text())]
VARIES = [
    (re.compile(r"\d{8}T\d{9}-[0-9a-f]{8}"), "20240501T000007314-1a2b3c4d"),
    (re.compile(r"20(?!24-05-01)\d\d-\d\d-\d\d[ T]\d\d:\d\d:\d\d(\.\d+)?Z"), "2024-05-01 00:00:07Z"),
    (re.compile(r"zsk_[0-9a-f]{16}_[\w-]{43}"), f"zsk_5f0c2a9be41d7760_{'x' * 43}"),
    (re.compile(r"cli:(?!ann)[^ ]+"), "cli:ann"),
    (re.compile(r"(?<=00:00:07Z) +[\d.]+(?=  )"), "    0.314"),
]
"""What differs from run to run, and what the documentation shows instead."""


def steady(text: str) -> str:
    for pattern, shown in VARIES:
        text = pattern.sub(shown, text)
    return "\n".join(re.sub(r" {2,}", "  ", line.rstrip()) for line in text.strip().splitlines())


def run(command: str, folder: Path) -> str:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("ZSYNC_", "DAGSTER_"))}
    done = subprocess.run(
        shlex.split(command), cwd=folder, env={**kept, "PATH": path}, capture_output=True, text=True, check=False
    )
    assert "Traceback" not in done.stderr, f"{command}\n{done.stderr}"
    return done.stdout if done.returncode in (0, 3) else done.stderr


def prepared(folder: Path) -> Path:
    """A folder as the pages assume it: the demo's warehouse and configuration."""
    (folder / "zsync.yaml").write_text((files("zsync_pipelines.demo") / "config.yaml").read_text())
    build_warehouse(folder / "shop.duckdb")
    return folder


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_terminal_sessions(page, tmp_path):
    folder = prepared(tmp_path)
    text, differing = page.read_text(), []

    def replay(session: re.Match[str]) -> str:
        shown = []
        for part in re.split(r"^\$ ", session[1], flags=re.MULTILINE)[1:]:
            command, _, expected = part.partition("\n")
            found = run(command, folder)
            if steady(found) != steady(expected):
                differing.append(f"$ {command}\n{found}\ninstead of\n{expected}")
            for pattern, constant in VARIES:
                found = pattern.sub(constant, found)
            shown.append(f"$ {command}\n" + "".join(f"{line.rstrip()}\n" for line in found.splitlines()))
        return f"```console\n{''.join(shown)}```"

    rewritten = SESSION.sub(replay, text)
    if os.environ.get("ZSYNC_DOCS") == "write":
        page.write_text(rewritten)
    else:
        assert not differing, "\n\n".join(differing)
