"""What a destination declares of its fields is checked when the configuration is applied, and kept to in runs."""

from __future__ import annotations

import json

import pytest

from zsync_pipelines.domain.run import RunStatus
from zsync_pipelines.errors import ConfigError


def mapped(place, *pairs):
    place.world.sync["field_mapping"] = [{"source_column": s, "destination_field": d} for s, d in pairs]


def test_an_unknown_field_is_named_with_a_near_match(stage):
    place = stage()
    place.world.people({})
    mapped(place, ("email", "emial"))
    with pytest.raises(ConfigError) as error:
        place.world.apply()
    (problem,) = error.value.problems
    assert problem.path == "syncs.people_to_table.field_mapping.0.destination_field"
    assert "did you mean 'email'?" in problem.message


def test_a_sync_must_map_something_by_which_members_are_known(stage):
    place = stage(identifiers=("email", "phone"))
    place.world.people({})
    mapped(place, ("email", "name"))
    with pytest.raises(ConfigError, match="email or phone"):
        place.world.apply()
    mapped(place, ("email", "phone"))
    place.world.apply()


def test_a_value_that_cannot_be_normalised_makes_its_member_invalid_and_leaves_it_where_it_is(stage):
    """Where members are known by their key, as for any other value that a field cannot take."""
    place = stage()
    place.world.people({1: "A@x.org", 2: "b@x.org"})
    place.run()
    assert place.emails() == {"1": "a@x.org", "2": "b@x.org"}
    place.world.people({1: "nonsense", 2: "B@X.org"})
    run = place.run()
    assert (run.status, run.counts.invalid, run.counts.updated) == (RunStatus.PARTIAL_FAILURE, 1, 0)
    assert place.emails() == {"1": "a@x.org", "2": "b@x.org"}
    sample = place.world.plan().sample["invalid"][0]
    assert (sample["entity_key"], sample["field"], sample["reason"]) == ("1", "email", "no e-mail address")


def test_rows_that_are_alike_once_normalised_are_one_member(stage):
    place = stage()
    place.world.people([(1, "A@x.org"), (1, " a@x.org"), (2, "b@x.org"), (2, "other@x.org")])
    run = place.run()
    assert (run.counts.added, run.counts.invalid) == (1, 1)


def test_batches_keep_to_bytes_as_well_as_rows(stage):
    place = stage({"max_batch_bytes": 2_000})
    place.world.people({n: f"{'x' * (n % 50)}{n}é@x.org" for n in range(300)})
    assert place.run().counts.added == 300
    sizes = []
    for batch in place.vendor.seen:
        rows = [{"entity_key": row["key"], "email": row["email"]} for row in batch["rows"]]
        sizes.append(sum(len(json.dumps(row, ensure_ascii=False, separators=(",", ":")).encode()) for row in rows))
    assert max(sizes) <= 2_000
    assert sum(size > 1_800 for size in sizes) >= len(sizes) - 1, "batches are filled"
    assert len(place.vendor.held) == 300


def test_a_row_that_is_too_large_by_itself_is_invalid(stage):
    place = stage({"max_batch_bytes": 2_000})
    place.world.people({1: "a@x.org", 2: "x" * 3_000 + "@x.org"})
    run = place.run()
    assert (run.counts.added, run.counts.invalid) == (1, 1)
    assert "2000 bytes" in place.world.plan().sample["invalid"][0]["reason"]
