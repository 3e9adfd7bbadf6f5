"""A table that zsync makes in PostgreSQL gets its key once it is filled: what is true until then."""

from __future__ import annotations

from datetime import timedelta

import psycopg
import pytest

from zsync_pipelines.domain.delivery import Op, Outcome
from zsync_pipelines.domain.destination import CheckStatus
from zsync_pipelines.errors import DestinationError, TargetMissingError, UnreachableError

AB = {"1": {"email": "a"}, "2": {"email": "b"}}
C = {"3": {"email": "c"}}
KEYS = (
    "SELECT a.attname::text FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0] "
    "WHERE i.indisprimary AND i.indrelid = '{t}'::regclass"
)


@pytest.fixture
def table(postgres_table):
    return postgres_table


def keys(table):
    return [name for (name,) in table.sql(KEYS)]


def owed(table):
    return table.sql("SELECT receipt FROM zsync_receipts WHERE op = 'key' AND idempotency_key LIKE '%{t}'")


def begun(table, rows=AB):
    """A first run that sent rows and has not ended."""
    destination = table.open()
    destination.send(table.batch(Op.ADD, rows))
    return destination


def test_the_key_is_there_after_the_first_run(table):
    destination = begun(table)
    assert keys(table) == []
    assert owed(table) == [("id",)]
    destination.complete()
    assert keys(table) == ["id"]
    assert owed(table) == []
    destination.complete()
    destination.close()
    (receipt,) = table.run((Op.ADD, {**C, "1": {"email": "x"}}))
    assert receipt.count(Outcome.REJECTED) == 1, "whose row exists is known by the key"


def test_a_run_that_died_leaves_it_to_the_next_one(table):
    begun(table).close()
    assert keys(table) == []
    table.run((Op.UPDATE, {"1": {"email": "new"}}))
    assert keys(table) == ["id"]
    assert owed(table) == []
    assert table.held() == [(1, "new"), (2, "b")]


def test_until_then_checks_and_plans_pass(table):
    begun(table).close()
    destination = table.connect()
    assert {step.status for step in destination.check()} == {CheckStatus.OK}
    assert destination.fields(table.shape).fields
    destination.close()
    assert keys(table) == [], "they change nothing"


def test_updates_and_removals_of_the_run_itself_need_no_key(table):
    destination = begun(table)
    destination.send(table.batch(Op.UPDATE, {"1": {"email": "new"}}))
    destination.send(table.batch(Op.REMOVE, {"2": {"email": None}}))
    destination.send(table.batch(Op.ADD, C))
    destination.complete()
    destination.close()
    assert table.held() == [(1, "new"), (3, "c")]
    assert keys(table) == ["id"]


def test_another_sync_that_comes_meanwhile_makes_it(table):
    first = begun(table)
    other = table.connect()
    other.open(table.shape, "other")
    assert keys(table) == ["id"]
    other.close()
    assert first.send(table.batch(Op.ADD, {"1": {"email": "x"}})).count(Outcome.REJECTED) == 1
    assert first.send(table.batch(Op.ADD, C)).count(Outcome.ACCEPTED) == 1
    first.complete()
    first.close()
    assert keys(table) == ["id"]


def test_rows_of_others_with_the_same_key_are_told_of_until_they_are_gone(table):
    destination = begun(table)
    table.sql("INSERT INTO {t} VALUES (2, 'somebody')")
    with pytest.raises(TargetMissingError, match=r"'id' is there twice; delete what is too much") as told:
        destination.complete()
    assert "somebody" not in str(told.value)
    destination.close()
    with pytest.raises(TargetMissingError, match="is there twice"):
        table.open()
    table.sql("DELETE FROM {t} WHERE email = 'somebody'")
    table.run((Op.ADD, C))
    assert keys(table) == ["id"]
    assert table.held() == [(1, "a"), (2, "b"), (3, "c")]


def test_a_table_that_was_dropped_meanwhile_is_made_anew(table):
    begun(table).close()
    table.sql("DROP TABLE {t}")
    table.run((Op.ADD, C))
    assert (keys(table), owed(table), table.held()) == (["id"], [], [(3, "c")])


def test_a_table_that_somebody_made_in_its_place_keeps_its_own_key(table):
    begun(table).close()
    table.sql("DROP TABLE {t}")
    table.sql("CREATE TABLE {t} (id BIGINT UNIQUE, email TEXT)")
    table.run((Op.ADD, C))
    assert (keys(table), owed(table), table.held()) == ([], [], [(3, "c")])


def test_a_table_of_other_columns_in_its_place_is_told_of_as_any_other(table):
    begun(table).close()
    table.sql("DROP TABLE {t}")
    table.sql("CREATE TABLE {t} (customer BIGINT, email TEXT)")
    with pytest.raises(TargetMissingError, match="no column 'id'"):
        table.open()


def test_a_lock_that_is_held_too_long_is_no_fault_of_rows(table):
    destination = begun(table)
    destination._db.execute("SET lock_timeout = '100ms'")
    with psycopg.connect(table.config["url"]) as reader:
        reader.execute(f"SELECT * FROM {table.name}")
        with pytest.raises(DestinationError) as told:
            destination.complete()
    assert not isinstance(told.value, TargetMissingError)
    assert "twice" not in str(told.value)
    destination.complete()
    destination.close()
    assert (keys(table), owed(table)) == (["id"], [])


def test_the_note_outlives_old_receipts(table, monkeypatch):
    begun(table).close()
    monkeypatch.setattr("zsync_pipelines.destinations.sql.records.KEEP", timedelta(days=-1))
    table.run((Op.ADD, C))
    assert keys(table) == ["id"]


def test_a_connection_that_is_lost_leaves_table_and_note(table):
    destination = begun(table)
    mine = "application_name = 'zsync' AND datname = current_database()"
    table.sql(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {mine}")
    with pytest.raises(UnreachableError):
        destination.complete()
    destination.close()
    assert owed(table) == [("id",)]
    table.run((Op.ADD, C))
    assert keys(table) == ["id"]
