"""docs/connectors.md shows what connectors declare; each has a page whose example loads and whose table is complete.

`ZSYNC_DOCS=write` puts the table of today into the page.
"""

from __future__ import annotations

import ast
import os
import re
from pathlib import Path

import pytest

from zsync_pipelines.config.yaml_catalog import load_files
from zsync_pipelines.destinations.registry import BUILT_IN, connector, parse_settings
from zsync_pipelines.destinations.table import table
from zsync_pipelines.domain.config import Kind

DOCS = Path(__file__).parents[2] / "docs"
PAGE = DOCS / "connectors.md"
TABLE = re.compile(r"(<!-- table -->\n).*?(<!-- /table -->)", re.DOTALL)
TYPES = sorted(name for name in BUILT_IN if connector(name).about is not None)


def test_the_table_is_what_connectors_declare():
    text = PAGE.read_text()
    now = TABLE.sub(lambda found: f"{found[1]}{table()}{found[2]}", text)
    if os.environ.get("ZSYNC_DOCS") == "write":
        PAGE.write_text(now)
    assert PAGE.read_text() == now


@pytest.mark.parametrize("page", [PAGE, *sorted((DOCS / "connectors").glob("*.md"))], ids=lambda page: page.stem)
def test_examples_are_valid_configuration(page, tmp_path):
    for block in re.findall(r"```yaml\n(.*?)```", page.read_text(), re.DOTALL):
        file = tmp_path / "example.yaml"
        file.write_text(block)
        loaded = load_files([file])
        assert [p for p in loaded.problems if "not set" not in p.message] == []
        for (kind, _), value in loaded.objects.items():
            if kind is Kind.DESTINATION:
                users = [v for (k, _), v in loaded.objects.items() if k is Kind.SYNC and v.destination_id == value.id]
                for config in [user.config for user in users] or [{}]:
                    parse_settings(value.type, {**value.config, **config})


@pytest.mark.parametrize("name", TYPES)
def test_every_setting_is_on_its_page(name):
    text = (DOCS / "connectors" / f"{name}.md").read_text()
    for setting in connector(name).settings_type.model_fields:
        assert re.search(rf"^\|.*`{setting}`", text, re.MULTILINE), f"{setting} is not in the table of {name}.md"


def code_lines(text: str) -> int:
    """Lines that say something to Python: without imports, docstrings, comments and blank ones."""
    tree = ast.parse(text)
    skipped: set[int] = set()
    for node in ast.walk(tree):
        is_text = (
            isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        )
        if is_text or isinstance(node, ast.Import | ast.ImportFrom):
            skipped |= set(range(node.lineno, node.end_lineno + 1))
    lines = enumerate(text.splitlines(), start=1)
    return sum(bool(line.strip()) and not line.strip().startswith("#") and n not in skipped for n, line in lines)


@pytest.mark.parametrize("name", TYPES)
def test_a_connector_is_one_small_file_that_names_its_sources(name):
    text = (DOCS.parent / f"{connector(name).__module__.replace('.', '/')}.py").read_text()
    assert code_lines(text) <= 200
    assert "source" in text.partition("from __future__")[0], "the docstring says where the limits come from"


def test_the_connector_that_is_built_is_short():
    text = (DOCS / "writing-a-destination.md").read_text()
    code = re.search(r"<!-- acme -->\n```python\n(.*?)```", text, re.DOTALL)
    assert code is not None
    written = [line for line in code[1].splitlines() if line.strip() and not line.startswith(("from ", "import "))]
    assert len(written) <= 60
