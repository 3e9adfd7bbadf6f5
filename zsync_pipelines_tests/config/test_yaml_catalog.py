from __future__ import annotations

from pathlib import Path

import pytest

from zsync_pipelines.config.yaml_catalog import load_files
from zsync_pipelines.domain.config import Kind, Sync
from zsync_pipelines_tests.config.examples import EXAMPLE, example, write


def problems(*paths: Path) -> list[tuple[str, str, str]]:
    return [(Path(p.file or "").name, p.path, p.message) for p in load_files(paths).problems]


def test_one_file(tmp_path: Path) -> None:
    path = write(tmp_path / "a.yaml", EXAMPLE)
    loaded = load_files([path])
    assert loaded.problems == ()
    assert [(k.value, i) for k, i in loaded.objects] == [
        ("sources", "shop"),
        ("models", "customers"),
        ("audiences", "active"),
        ("destinations", "crm"),
        ("syncs", "vip"),
    ]
    assert set(loaded.files.values()) == {str(path)}
    vip = loaded.objects[Kind.SYNC, "vip"]
    assert isinstance(vip, Sync)
    assert (vip.audience_id, vip.destination_id) == ("active", "crm")


def test_folders_are_merged_in_order_without_hidden_files_and_subfolders(tmp_path: Path) -> None:
    write(tmp_path / "b.yml", "sources: {b: {url: 'x://'}}")
    write(tmp_path / "a.yaml", "sources: {a: {url: 'x://'}}")
    write(tmp_path / ".a.yaml", "no: good")
    write(tmp_path / "note.txt", "no: good")
    write(tmp_path / "sub" / "c.yaml", "no: good")
    write(tmp_path / "empty.yaml", "# nothing\n")
    write(tmp_path / "nulls.yaml", "sources:\nsyncs:\n")
    loaded = load_files([tmp_path, tmp_path / "a.yaml"])
    assert loaded.problems == ()
    assert [i for _, i in loaded.objects] == ["a", "b"]


def test_the_same_id_in_two_files_names_both(tmp_path: Path) -> None:
    first = write(tmp_path / "a.yaml", "sources: {s: {url: 'x://'}}")
    write(tmp_path / "b.yaml", "sources: {s: {url: 'y://'}}")
    assert problems(tmp_path) == [
        ("b.yaml", "sources.s", f"source 's' is also defined in {first}; keep one of them"),
    ]


@pytest.mark.parametrize(
    ("text", "path", "message"),
    [
        ("syncss: {}", "syncss", "unknown key 'syncss', did you mean 'syncs'? allowed: sources, models, audiences"),
        ("- a", "", "must be a map with the keys sources, models"),
        ("sources: [a]", "sources", "must be a map from id to object"),
        ("sources: {s: x}", "sources.s", "must be a map of keys to values"),
        ("sources: {s: }", "sources.s", "must be a map of keys to values"),
        ("sources: {S-1: {url: x}}", "sources.S-1", "'S-1' is no id"),
        ("sources: {s: {id: s, url: x}}", "sources.s.id", "remove this one"),
        ("sources: {s: {}}", "sources.s.url", "is missing"),
        ("sources: {s: {url: 'x${A'}}", "sources.s.url", "begins a reference that does not end well"),
        ("sources: {s: {url: 2024-02-31}}", "sources.s.url", "line 1: there is no such date"),
        ("sources: {s: {url: x, url: y}}", "sources.s.url", "given twice"),
        ("destinations: {d: {type: sql, config: {a: ['${']}}}", "destinations.d.config.a.0", "begins a reference"),
        ("a: b: c", "", "line 1, column 5"),
    ],
)
def test_every_fault_has_file_and_path(tmp_path: Path, text: str, path: str, message: str) -> None:
    write(tmp_path / "x.yaml", text)
    found = problems(tmp_path)
    assert [(file, where) for file, where, _ in found] == [("x.yaml", path)]
    assert message in found[0][2]


def test_all_faults_of_all_files_come_at_once(tmp_path: Path) -> None:
    write(
        tmp_path / "a.yaml",
        example(syncs__vip__shedule="daily", audiences__active__filter_tree__children__1__operator="x"),
    )
    write(tmp_path / "b.yaml", "sources: {other: {}}")
    write(tmp_path / "c.yaml", "x: [")
    assert [(file, path) for file, path, _ in problems(tmp_path)] == [
        ("a.yaml", "audiences.active.filter_tree.children.1.operator"),
        ("a.yaml", "syncs.vip.shedule"),
        ("b.yaml", "sources.other.url"),
        ("c.yaml", ""),
    ]


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "latin.yaml").write_bytes("a: \xe9".encode("latin-1"))
    (tmp_path / "none").mkdir()
    assert problems(tmp_path / "gone.yaml", tmp_path / "latin.yaml", tmp_path / "none") == [
        ("gone.yaml", "", "no such file or folder"),
        ("latin.yaml", "", "is not UTF-8 text"),
        ("none", "", "holds no *.yaml or *.yml file"),
    ]


def test_a_byte_order_mark_is_no_fault(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_bytes(b"\xef\xbb\xbfsources: {s: {url: x}}")
    assert problems(tmp_path) == []


def test_country_codes_and_dates_survive(tmp_path: Path) -> None:
    write(
        tmp_path / "a.yaml",
        """
audiences:
  a:
    model: m
    filter_tree:
      type: and
      children:
        - {condition_type: property, column: country, operator: in, value: [US, NO, on, y]}
        - {condition_type: property, column: zip, operator: equals, value: 01234}
        - {condition_type: property, column: born, operator: less_than, value: 2000-01-31}
""",
    )
    loaded = load_files([tmp_path])
    body = loaded.objects[Kind.AUDIENCE, "a"].model_dump(mode="json")
    assert [child["value"] for child in body["filter_tree"]["children"]] == [
        ["US", "NO", "on", "y"],
        "01234",
        "2000-01-31",
    ]
