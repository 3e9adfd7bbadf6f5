"""Destinations that know members by identifiers: changed, shared, missing and hashed ones."""

from __future__ import annotations

import hashlib
import random

import polars as pl
import pytest

from zsync_pipelines.domain.run import RunStatus
from zsync_pipelines.service.explain import explain
from zsync_pipelines_tests.support.world import SYNC, changes

BOTH = "email VARCHAR, phone VARCHAR"


def mapped(place, *fields):
    place.world.sync["field_mapping"] = [{"source_column": f, "destination_field": f} for f in fields]


@pytest.fixture
def by_email(stage):
    place = stage(identifiers=("email",))
    mapped(place, "email")
    return place


@pytest.fixture
def by_both(stage):
    place = stage(identifiers=("email", "phone"))
    mapped(place, "email", "phone")
    return place


def emails(place):
    return {value for field, value in place.vendor.held if field == "email"}


def operations(place, since=0):
    return [batch["op"] for batch in place.vendor.seen[since:]]


def test_a_changed_identifier_is_taken_out_and_put_in_again_and_counts_as_one_update(by_email):
    by_email.world.people({1: "a@x.org", 2: "b@x.org"})
    assert changes(by_email.run()) == (2, 0, 0)
    by_email.world.people({1: "a@x.org", 2: "new@x.org"})
    run = by_email.run()
    assert (run.status, changes(run)) == (RunStatus.SUCCESS, (0, 0, 1))
    assert operations(by_email, 1) == ["remove", "add"]
    assert emails(by_email) == {"a@x.org", "new@x.org"}
    assert changes(by_email.run()) == (0, 0, 0)


def test_changed_identifiers_are_not_the_guard_s_business(by_email):
    by_email.world.sync["guard"] = {"max_removed_rows": 1, "max_removed_percent": 1, "max_added_rows": 1,
                                    "max_added_percent": 1}  # fmt: skip
    by_email.world.people({n: f"p{n}@x.org" for n in range(20)})
    by_email.run()
    by_email.world.people({n: f"new{n}@x.org" for n in range(20)})
    run = by_email.run()
    assert (run.status, changes(run), run.counts.held) == (RunStatus.SUCCESS, (0, 0, 20), 0)


def test_the_list_dips_by_a_batch_at_most(by_email):
    by_email.configure(max_batch_rows=5)
    by_email.world.people({n: f"p{n}@x.org" for n in range(20)})
    by_email.run()
    sizes = []
    real = by_email.vendor._apply

    def counted(batch):
        answer = real(batch)
        sizes.append(len(by_email.vendor.held))
        return answer

    by_email.vendor._apply = counted
    by_email.world.people({n: f"new{n}@x.org" for n in range(20)})
    assert changes(by_email.run()) == (0, 0, 20)
    assert min(sizes) == 15
    assert len(sizes) == 8


def test_what_was_not_acknowledged_to_be_out_is_not_put_in_again(by_email):
    by_email.world.people({1: "a@x.org", 2: "b@x.org", 3: "c@x.org"})
    by_email.run()
    by_email.vendor.refuse = lambda op, row: "locked" if op == "remove" and row["key"] == "2" else None
    by_email.world.people({1: "a2@x.org", 2: "b2@x.org", 3: "c2@x.org"})
    run = by_email.run()
    assert (changes(run), run.counts.failed) == ((0, 0, 2), 1)
    assert emails(by_email) == {"a2@x.org", "b@x.org", "c2@x.org"}
    by_email.vendor.refuse = lambda op, row: None
    assert changes(by_email.run()) == (0, 0, 1)
    assert emails(by_email) == {"a2@x.org", "b2@x.org", "c2@x.org"}
    assert changes(by_email.run()) == (0, 0, 0)


def test_put_in_refused_after_taken_out_is_a_removal_and_a_refusal_and_added_later(by_email):
    by_email.world.people({1: "a@x.org"})
    by_email.run()
    by_email.vendor.refuse = lambda op, row: "bad" if op == "add" else None
    by_email.world.people({1: "b@x.org"})
    run = by_email.run()
    assert (changes(run), run.counts.failed) == ((0, 1, 0), 1)
    by_email.vendor.refuse = lambda op, row: None
    assert changes(by_email.run()) == (1, 0, 0)
    assert emails(by_email) == {"b@x.org"}


@pytest.mark.parametrize("value", [None, "not an address"])
def test_an_identifier_that_becomes_null_or_invalid_is_taken_out_and_the_member_is_invalid(by_email, value):
    by_email.world.people({1: "a@x.org", 2: "b@x.org"})
    by_email.run()
    by_email.world.people({1: "a@x.org", 2: value})
    run = by_email.run()
    assert (changes(run), run.counts.invalid) == ((0, 1, 0), 1)
    assert emails(by_email) == {"a@x.org"}
    reason = by_email.world.plan().sample["invalid"][0]["reason"]
    assert ("null in email" if value is None else "no e-mail address") in reason
    by_email.world.people({1: "a@x.org", 2: "b@x.org"})
    assert changes(by_email.run()) == (1, 0, 0)


def test_a_column_that_breaks_empties_nothing_without_leave(by_email):
    by_email.world.sync["guard"] = {"max_removed_rows": 2}
    by_email.world.people({n: f"p{n}@x.org" for n in range(10)})
    by_email.run()
    by_email.world.people(dict.fromkeys(range(10)))
    run = by_email.run()
    assert run.counts.held == 10
    assert len(emails(by_email)) == 10


def test_a_shared_identifier_is_sent_once_and_stays_while_another_member_has_it(by_email):
    by_email.world.people({1: "home@x.org", 2: "home@x.org", 3: "c@x.org"})
    run = by_email.run()
    assert (run.status, changes(run)) == (RunStatus.SUCCESS, (2, 0, 0))
    assert "share their identifiers" in by_email.world.plan().warnings[0]
    assert changes(by_email.run()) == (0, 0, 0)
    for gone in (1, 2):
        others = {n: v for n, v in {1: "home@x.org", 2: "home@x.org", 3: "c@x.org"}.items() if n != gone}
        by_email.world.people(others)
        by_email.run()
        assert emails(by_email) == {"home@x.org", "c@x.org"}
    by_email.world.people({3: "c@x.org"})
    by_email.run()
    assert emails(by_email) == {"c@x.org"}
    assert changes(by_email.run()) == (0, 0, 0)


def test_a_member_that_shares_is_explained(by_email):
    by_email.world.people({1: "home@x.org", 2: "home@x.org"})
    by_email.run()
    words = {key: " ".join(explain(by_email.app(), SYNC, key).sentences) for key in ("1", "2")}
    assert sum("acknowledged holding it" in text for text in words.values()) == 1
    assert sum("to the destination the two are one" in text for text in words.values()) == 1
    assert "home" not in str(words)


def test_members_that_swap_identifiers(by_email):
    by_email.world.people({1: "a@x.org", 2: "b@x.org"})
    by_email.run()
    by_email.world.people({1: "b@x.org", 2: "a@x.org"})
    by_email.run()
    assert emails(by_email) == {"a@x.org", "b@x.org"}
    by_email.run()
    assert changes(by_email.run()) == (0, 0, 0)
    by_email.world.people({1: "b@x.org"})
    by_email.run()
    assert emails(by_email) == {"b@x.org"}


def test_case_and_blanks_are_no_change(by_email):
    by_email.world.people({1: "A@x.org "})
    by_email.run()
    assert emails(by_email) == {"a@x.org"}
    by_email.world.people({1: " a@X.org"})
    assert changes(by_email.run()) == (0, 0, 0)


def test_hashed_fields_rest_and_travel_as_hashes_only(by_email):
    by_email.configure(hashed=True)
    by_email.world.people({1: "Private@x.org", 2: "b@x.org"})
    assert changes(by_email.run()) == (2, 0, 0)
    digest = hashlib.sha256(b"private@x.org").hexdigest()
    assert ("email", digest) in by_email.vendor.held
    home = by_email.world.folder / "home"
    files = [path for path in home.rglob("*") if path.is_file()]
    assert any(path.suffix == ".parquet" for path in files)
    for path in files:
        assert b"private" not in path.read_bytes().lower(), path
        if path.suffix == ".parquet":
            assert "private" not in str(pl.read_parquet(path).to_dicts()).lower(), path
    by_email.world.people({2: "b@x.org"})
    assert changes(by_email.run()) == (0, 1, 0), "taken out by the hash as it was delivered"
    assert len(by_email.vendor.held) == 1


def test_a_value_that_is_a_digest_already_is_not_hashed_again(by_email):
    by_email.configure(hashed=True)
    digest = hashlib.sha256(b"private@x.org").hexdigest()
    by_email.world.people({1: digest.upper(), 2: "b@x.org"})
    assert changes(by_email.run()) == (2, 0, 0)
    assert ("email", digest) in by_email.vendor.held
    by_email.world.people({1: "Private@x.org", 2: "b@x.org"})
    assert changes(by_email.run()) == (0, 0, 0), "the same person, by another column of the warehouse"
    by_email.world.people({1: digest[:-1], 2: "b@x.org"})
    assert by_email.run().counts.invalid == 1


def test_one_of_two_identifiers_changes(by_both):
    by_both.world.people({1: ("a@x.org", "111"), 2: ("b@x.org", None)}, BOTH)
    by_both.run()
    by_both.world.people({1: ("a@x.org", "222"), 2: ("b@x.org", "333")}, BOTH)
    run = by_both.run()
    assert changes(run) == (0, 0, 2)
    assert set(by_both.vendor.held) == {("email", "a@x.org"), ("phone", "222"), ("email", "b@x.org"), ("phone", "333")}
    by_both.run()
    assert changes(by_both.run()) == (0, 0, 0)
    by_both.world.people({2: ("b@x.org", "333")}, BOTH)
    assert changes(by_both.run()) == (0, 1, 0)
    assert set(by_both.vendor.held) == {("email", "b@x.org"), ("phone", "333")}


def test_an_identifier_that_is_mapped_no_more_is_taken_out(by_both):
    by_both.world.people({1: ("a@x.org", "111")}, BOTH)
    by_both.run()
    mapped(by_both, "email")
    by_both.run()
    assert set(by_both.vendor.held) == {("email", "a@x.org")}
    by_both.run()
    assert changes(by_both.run()) == (0, 0, 0)


def test_a_bad_identifier_beside_a_good_one_is_left_out_with_a_warning(by_both):
    by_both.world.people({1: ("nonsense", "111"), 2: ("b@x.org", "222")}, BOTH)
    run = by_both.run()
    assert (run.status, changes(run)) == (RunStatus.SUCCESS, (2, 0, 0))
    assert set(by_both.vendor.held) == {("phone", "111"), ("email", "b@x.org"), ("phone", "222")}
    assert any("without an identifier" in warning for warning in by_both.world.plan().warnings)


def test_additive_retains_leavers_and_replaces_changed_identifiers(by_email):
    by_email.world.sync["sync_mode"] = "additive"
    by_email.world.people({1: "a@x.org", 2: "b@x.org"})
    by_email.run()
    by_email.world.people({2: "b2@x.org"})
    assert changes(by_email.run()) == (0, 0, 1)
    assert emails(by_email) == {"a@x.org", "b2@x.org"}
    by_email.world.people({2: "b2@x.org", 3: "a@x.org"})
    by_email.run()
    by_email.world.people({2: "b2@x.org", 3: "c@x.org"})
    by_email.run()
    assert emails(by_email) == {"a@x.org", "b2@x.org", "c@x.org"}, "retained for the one who left"


def test_subtractive_takes_out_what_leavers_had(by_email):
    by_email.world.sync["sync_mode"] = "subtractive"
    for email in ("a@x.org", "b@x.org", "stranger@x.org"):
        by_email.vendor.held["email", email] = {}
    by_email.world.people({1: "a@x.org", 2: "b@x.org"})
    assert changes(by_email.run()) == (0, 0, 0)
    by_email.world.people({1: "a@x.org", 3: "b@x.org"})
    by_email.run()
    assert emails(by_email) == {"a@x.org", "b@x.org", "stranger@x.org"}, "another member has it"
    by_email.world.people({1: "a@x.org"})
    by_email.run()
    assert emails(by_email) == {"a@x.org", "stranger@x.org"}


FAULTS = ["ok", "ok", "ok", "ok", 500, 422, "drop before", "drop after", 401]


@pytest.mark.parametrize("seed", [0, 1, 1072, *(pytest.param(seed, marks=pytest.mark.soak) for seed in range(2, 8))])
def test_any_history_then_clean_runs_make_the_list_right(stage, seed):
    history(stage, seed)


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(1000, 1300))
def test_any_history_many_times(stage, seed):
    history(stage, seed)


def history(stage, seed):
    """Random people who share, swap, lose and change identifiers, and faults; then the list equals the audience.

    Two clean runs: an identifier that one member hands to another is noted as the other's in the first, and its old
    row forgotten in the second, which sends nothing.
    """
    chance = random.Random(seed)
    identifiers = chance.choice([("email",), ("email", "phone")])
    place = stage(identifiers=identifiers, asynchronous=chance.random() < 0.3)
    place.configure(max_batch_rows=chance.choice([1, 3, 100]), max_in_flight=chance.choice([1, 3]))

    def audience():
        return {
            n: (chance.choice(["a@x", "b@x", "c@x", "d@x", None, "bad"]), chance.choice(["1", "2", "3", None]))
            for n in range(6)
            if chance.random() < 0.7
        }

    for _ in range(chance.randint(1, 4)):
        mapped(place, *(identifiers if chance.random() < 0.8 else ("email",)))
        place.world.people(audience(), BOTH)
        place.vendor.script.extend(chance.choice(FAULTS) for _ in range(chance.randint(0, 12)))
        refused = {chance.randrange(6) for _ in range(chance.randint(0, 2))}
        place.vendor.refuse = lambda op, row, r=refused: "no" if int(row["key"]) in r else None
        assert place.run(full_resync=chance.random() < 0.1).status.is_final
        place.vendor.script.clear()
    place.vendor.refuse = lambda op, row: None
    mapped(place, *identifiers)
    last = audience()
    place.world.people(last, BOTH)
    place.world.now = place.world.now.replace(year=place.world.now.year + 1)  # whatever backs off is due again
    wanted = set()
    for email, phone in last.values():
        wanted |= {("email", email)} if email not in (None, "bad") else set()
        wanted |= {("phone", phone)} if phone is not None and "phone" in identifiers else set()
    clean = place.run()
    assert clean.status in (RunStatus.SUCCESS, RunStatus.PARTIAL_FAILURE), clean.error
    assert clean.counts.failed == clean.counts.unconfirmed == clean.counts.pending == clean.counts.parked == 0
    assert set(place.vendor.held) == wanted
    sent = len(place.vendor.seen)
    for _ in range(2):
        assert changes(place.run()) == (0, 0, 0)
    assert len(place.vendor.seen) == sent


def test_the_dry_run_counts_a_changed_identifier_as_one_update_and_changes_nothing(by_email):
    by_email.world.people({1: "a@x.org", 2: "b@x.org"})
    by_email.run()
    by_email.world.people({1: "a@x.org", 2: "new@x.org"})
    sent = len(by_email.vendor.seen)
    plan = by_email.world.plan()
    assert (plan.rows_to_add, plan.rows_to_remove, plan.rows_to_update) == (0, 0, 1)
    assert plan.sample["update"] == ["2"]
    assert plan.sample["remove"] == []
    assert len(by_email.vendor.seen) == sent
