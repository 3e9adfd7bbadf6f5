"""Imports go strictly down, and Dagster stays in its layer."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "zsync_pipelines"
BELOW = {
    "domain": set(),
    "objects": set(),
    "engine": {"domain"},
    "destinations": {"domain", "objects"},
    "sources": {"domain"},
    "store": {"domain", "objects"},
    "config": {"domain"},
}
BELOW["service"] = {*BELOW}
BELOW["wire"] = {"domain"}
BELOW["orchestration"] = {*BELOW} - {"wire"}
BELOW["api"] = {*BELOW} - {"orchestration"}
BELOW["client"] = {"domain", "wire"}
BELOW["demo"] = {*BELOW} - {"api", "client"}
BELOW["api"] = {*BELOW}
BELOW["cli"] = {*BELOW}
DAGSTER = {"orchestration", "definitions"}
"""The only places that know Dagster."""


def modules():
    return sorted(path for path in PACKAGE.rglob("*.py") if "migrations" not in path.parts)


def layer_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_go_down(path):
    layer = layer_of(path)
    for name in imported(path):
        first, *rest = name.split(".")
        if first == "dagster":
            assert layer in DAGSTER, f"{name} in layer {layer}"
        if first == "zsync_pipelines" and rest and layer in BELOW:
            target = rest[0]
            assert target in {layer, "errors", "__version__"} | BELOW[layer], f"{layer} imports {name}"


def test_every_folder_is_a_layer():
    folders = {path.name for path in PACKAGE.iterdir() if path.is_dir() and (path / "__init__.py").exists()}
    assert folders == set(BELOW)


def test_every_module_says_what_it_is_for():
    silent = [str(p) for p in modules() if p.stat().st_size and not ast.get_docstring(ast.parse(p.read_text()))]
    assert silent == []
