"""The examples of docs/audiences.md are one configuration without faults."""

from __future__ import annotations

import re
from pathlib import Path

from zsync_pipelines.config.references import check_references, find_warnings
from zsync_pipelines.config.yaml_catalog import load_files
from zsync_pipelines.domain.catalog import Catalog
from zsync_pipelines_tests.config.examples import write
from zsync_pipelines_tests.config.test_references import NOW

DOCS = (Path(__file__).parents[2] / "docs" / "audiences.md").read_text(encoding="utf-8")


def test_the_examples_validate(tmp_path: Path) -> None:
    blocks = re.findall(r"```yaml\n(.*?)```", DOCS, re.DOTALL)
    files = [write(tmp_path / f"{number}.yaml", block) for number, block in enumerate(blocks)]
    loaded = load_files(files)
    assert len(files) > 4
    assert loaded.problems == ()
    catalog = Catalog.of(loaded.objects)
    assert check_references(catalog) == find_warnings(catalog, NOW) == []
    assert "big_spenders_holdout" in catalog.every_audience
