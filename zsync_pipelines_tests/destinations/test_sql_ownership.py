"""Whose rows are whose: strangers' rows, adopted ones, and flagged members."""

from __future__ import annotations

from dataclasses import replace

import pyarrow as pa
import pytest

from zsync_pipelines.domain.delivery import Op, Outcome
from zsync_pipelines_tests.destinations.conftest import WAREHOUSES, make_table, make_warehouse_table

ABC = {key: {"email": f"{key}@x.org"} for key in ("1", "2", "3")}


@pytest.fixture(params=["sqlite", "duckdb", "postgresql", pytest.param("mysql", marks=pytest.mark.mysql), *WAREHOUSES])
def table(request, tmp_path):
    if request.param in WAREHOUSES:
        yield from make_warehouse_table(request, request.param, tmp_path)
    else:
        yield make_table(request, request.param, tmp_path)


@pytest.fixture
def with_stranger(table):
    """The table exists and holds a row that the sync did not put there."""
    table.sql("CREATE TABLE {t} (id BIGINT PRIMARY KEY, email VARCHAR(40), note VARCHAR(40))")
    table.sql("INSERT INTO {t} VALUES (2, 'stranger', 'theirs')")
    return table


def refused(receipt):
    return {rejection.entity_key: rejection.reason for rejection in receipt.rejections()}


def test_a_strangers_row_is_refused_and_the_others_go_on(with_stranger):
    table = with_stranger
    (receipt,) = table.run((Op.ADD, ABC))
    assert refused(receipt) == {"2": "row exists"}
    assert receipt.count(Outcome.ACCEPTED) == 2
    assert table.held("id, email, note") == [(1, "1@x.org", None), (2, "stranger", "theirs"), (3, "3@x.org", None)]
    (again,) = table.run((Op.ADD, {"2": ABC["2"], "4": {"email": "d"}}))
    assert refused(again) == {"2": "row exists"}


def test_strangers_in_several_batches_of_one_run(with_stranger):
    table = with_stranger
    rows = {str(n): {"email": "x"} for n in range(20)}
    receipts = table.run((Op.ADD, rows), rows_per_batch=5)
    assert [refused(receipt) for receipt in receipts] == [{"2": "row exists"}, {}, {}, {}]
    assert len(table.held()) == 20


def test_an_adopted_row_is_updated_and_never_deleted(with_stranger):
    table = with_stranger
    table.config["adopt"] = True
    (receipt,) = table.run((Op.ADD, ABC))
    assert refused(receipt) == {}
    assert table.held("id, email, note")[1] == (2, "2@x.org", "theirs")
    table.run((Op.UPDATE, {"2": {"email": "new"}}))
    (removed,) = table.run((Op.REMOVE, ABC))
    assert removed.count(Outcome.ACCEPTED) == 3
    assert table.held("id, email, note") == [(2, "new", "theirs")]
    if table.backend != "databricks":  # where a batch is no transaction, the promise is kept for good
        assert table.sql("SELECT * FROM zsync_adopted") == []


def test_an_adopted_row_stays_even_when_adopt_is_switched_off(with_stranger):
    table = with_stranger
    table.config["adopt"] = True
    table.run((Op.ADD, ABC))
    del table.config["adopt"]
    table.run((Op.REMOVE, ABC))
    assert [key for key, _ in table.held()] == [2]
    (receipt,) = table.run((Op.ADD, ABC))  # forgotten with the removal: it is a stranger's again
    assert refused(receipt) == {"2": "row exists"}


def test_an_adopted_row_that_a_stranger_deleted_and_the_sync_restored_is_the_syncs(with_stranger):
    table = with_stranger
    table.config["adopt"] = True
    table.run((Op.ADD, ABC))
    table.sql("DELETE FROM {t} WHERE id = 2")
    table.run((Op.UPDATE, {"2": {"email": "restored"}}))
    table.run((Op.REMOVE, ABC))
    assert table.held() == []


def test_adopting_twice_is_adopting_once(with_stranger):
    table = with_stranger
    table.config["adopt"] = True
    table.run((Op.ADD, ABC))
    table.run((Op.ADD, {"2": {"email": "again"}}))
    assert len(table.sql("SELECT * FROM zsync_adopted WHERE entity_key = '2'")) == 1


def test_an_add_that_may_be_there_already_is_taken_for_the_syncs_own(with_stranger):
    table = with_stranger
    destination = table.open()
    receipt = destination.send(table.batch(Op.ADD, ABC, maybe_there=True))
    destination.close()
    assert refused(receipt) == {}
    table.run((Op.REMOVE, ABC))
    assert table.held() == []


def test_maybe_there_is_judged_row_by_row(table):
    table.run((Op.ADD, ABC))
    destination = table.open()
    batch = table.batch(Op.ADD, {"2": {"email": "a"}, "3": {"email": "b"}}, maybe_there=True)
    mixed = batch.table.drop_columns("maybe_there").append_column("maybe_there", pa.array([True, None]))
    receipt = destination.send(replace(batch, table=mixed))
    destination.close()
    assert refused(receipt) == {"3": "row exists"}


def test_a_flagged_member_stays_and_comes_back(table):
    table.config["on_remove"] = "flag"
    table.run((Op.ADD, ABC))
    table.run((Op.REMOVE, {"2": ABC["2"]}))
    assert [bool(flag) for _, flag in table.held("id, is_member")] == [True, False, True]
    (receipt,) = table.run((Op.ADD, {"2": {"email": "back"}}))
    assert refused(receipt) == {}
    assert [bool(flag) for _, flag in table.held("id, is_member")] == [True, True, True]
    assert table.held()[1] == (2, "back")


def test_with_flags_a_strangers_row_is_one_whose_flag_is_true_or_null(table):
    table.config["on_remove"] = "flag"
    table.sql("CREATE TABLE {t} (id BIGINT PRIMARY KEY, email VARCHAR(40), is_member BOOLEAN)")
    table.sql("INSERT INTO {t} VALUES (1, 'theirs', TRUE), (2, 'theirs', NULL), (3, 'flagged', FALSE)")
    (receipt,) = table.run((Op.ADD, ABC))
    assert refused(receipt) == {"1": "row exists", "2": "row exists"}
    assert table.held() == [(1, "theirs"), (2, "theirs"), (3, "3@x.org")]


def test_a_flagged_adopted_row_stays_adopted(table):
    table.config |= {"on_remove": "flag", "adopt": True}
    table.sql("CREATE TABLE {t} (id BIGINT PRIMARY KEY, email VARCHAR(40), is_member BOOLEAN)")
    table.sql("INSERT INTO {t} VALUES (2, 'theirs', TRUE)")
    table.run((Op.ADD, ABC))
    table.run((Op.REMOVE, ABC))
    assert [bool(flag) for _, flag in table.held("id, is_member")] == [False, False, False]
    table.run((Op.ADD, ABC))
    table.config["on_remove"] = "delete"
    table.run((Op.REMOVE, ABC))
    assert [key for key, _ in table.held()] == [2]


def test_an_update_of_a_flagged_row_makes_it_a_member(table):
    table.config["on_remove"] = "flag"
    table.run((Op.ADD, ABC))
    table.sql("UPDATE {t} SET is_member = FALSE WHERE id = 1")
    table.run((Op.UPDATE, {"1": {"email": "new"}}))
    assert bool(table.held("id, is_member")[0][1]) is True
