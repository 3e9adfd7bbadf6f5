"""Laws of whole runs, against a real source and a real destination: any history, then one clean mirror run."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zsync_pipelines.domain.run import RunStatus
from zsync_pipelines_tests.support.world import World, changes

FIELDS = {"email": "VARCHAR", "score": "INTEGER"}
TABLE = "CREATE TABLE contacts (id INTEGER PRIMARY KEY, email TEXT, score INTEGER)"
people = st.dictionaries(
    st.integers(0, 7), st.tuples(st.none() | st.sampled_from(["a", "b", ""]), st.none() | st.integers(0, 2)), max_size=6
)
mappings = st.sampled_from([(), ("email",), ("score",), ("email", "score"), ("score", "email")])
options = st.sampled_from(
    [{}, {"full_resync": True}, {"allow_removals": 100, "allow_additions": 100}, {"allow_removals": 1}]
)
steps = st.lists(
    st.tuples(people, st.sampled_from(["mirror", "additive", "subtractive"]), mappings, options), max_size=4
)


@given(steps, people, mappings.filter(bool))
@settings(max_examples=10)
def test_any_history_then_one_clean_mirror_run(tmp_path_factory, history, last, mapping):
    check_history(tmp_path_factory.mktemp("history"), history, last, mapping)


@pytest.mark.soak
@given(steps, people, mappings.filter(bool))
@settings(max_examples=500)
def test_any_history_then_one_clean_mirror_run_many_times(tmp_path_factory, history, last, mapping):
    check_history(tmp_path_factory.mktemp("history"), history, last, mapping)


def check_history(folder: Path, history, last, mapping) -> None:
    """Play a history of data, modes, mappings and run options; then hold the law against the destination."""
    world = World(folder)
    world.sync["guard"] = {"max_removed_rows": 1, "max_removed_percent": 10}
    world.at_destination(TABLE)
    for rows, mode, fields, chosen in [*history, (last, "mirror", mapping, {"allow_removals": 100})]:
        world.people(rows, ", ".join(f"{name} {kind}" for name, kind in FIELDS.items()))
        world.sync["sync_mode"] = mode
        world.sync["field_mapping"] = [{"source_column": name, "destination_field": name} for name in fields]
        run = world.run(**chosen)
        assert run.status in (RunStatus.SUCCESS, RunStatus.PARTIAL_FAILURE), run.error
    assert run.status is RunStatus.SUCCESS, run.error
    expected = {key: tuple(value[list(FIELDS).index(name)] for name in mapping) for key, value in last.items()}
    held = world.held(columns=", ".join(mapping))
    assert {k: v if isinstance(v, tuple) else (v,) for k, v in held.items()} == expected
    assert changes(world.run()) == (0, 0, 0)
