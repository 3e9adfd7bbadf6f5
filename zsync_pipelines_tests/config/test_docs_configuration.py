"""docs/configuration.md says what the code does: its example loads, and it names every key."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from pydantic import AliasChoices, BaseModel

from zsync_pipelines.config.references import check_references
from zsync_pipelines.config.yaml_catalog import load_files
from zsync_pipelines.domain.catalog import TYPES, Catalog
from zsync_pipelines.domain.config import Aggregate, Event, FieldMapping, Guard, Kind, Trait
from zsync_pipelines.domain.schedule import WORDS
from zsync_pipelines_tests.config.examples import write

DOCS = (Path(__file__).parents[2] / "docs" / "configuration.md").read_text(encoding="utf-8")


def test_the_example_validates(tmp_path: Path) -> None:
    (block,) = re.findall(r"```yaml\n(.*?)```", DOCS, re.DOTALL)
    loaded = load_files([write(tmp_path / "a.yaml", block)])
    assert loaded.problems == ()
    assert {kind for kind, _ in loaded.objects} == set(Kind)
    assert check_references(Catalog.of(loaded.objects)) == []


@pytest.mark.parametrize("cls", [*TYPES.values(), Event, Trait, Guard, FieldMapping])
def test_every_key_is_named(cls: type[BaseModel]) -> None:
    for name, field in cls.model_fields.items():
        alias = field.validation_alias
        shown = str(alias.choices[0]) if isinstance(alias, AliasChoices) else name
        assert name == "id" or re.search(rf"\b{shown}\b", DOCS), f"{cls.__name__}.{shown}"


@pytest.mark.parametrize("cls", [*TYPES.values(), Event, Trait, Guard])
def test_the_defaults_are_as_written(cls: type[BaseModel]) -> None:
    for name, field in cls.model_fields.items():
        rows = re.findall(rf"^\| `{name}` \| [^|]* \| `([^`|]*)` \|", DOCS, re.MULTILINE)
        if rows and not field.is_required() and isinstance(field.default, str | int | float | bool):
            assert {str(field.default).lower(), str(field.default)} & set(rows), f"{cls.__name__}.{name}"


def test_every_word_is_named() -> None:
    assert all(f"`{word}`" in DOCS for word in (*WORDS, *Aggregate))
