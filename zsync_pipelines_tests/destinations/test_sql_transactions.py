"""A batch and its receipt are one transaction; refusals and lost connections are told as what they are."""

from __future__ import annotations

import subprocess
import sys
import traceback
from dataclasses import replace

import psycopg
import pyarrow as pa
import pytest
import sqlalchemy as sa

from zsync_pipelines.domain.delivery import Op, Outcome
from zsync_pipelines.errors import (
    CredentialsError,
    OutcomeUnknownError,
    TargetMissingError,
    TryAgainError,
    UnreachableError,
)

ABC = {key: {"email": f"{key}@x.org"} for key in ("1", "2", "3")}
VALUE = "pl4nted-value"


def receipts(table):
    return table.sql("SELECT count(*) FROM zsync_receipts WHERE op <> 'key'")[0][0]


def test_a_receipt_is_a_row_beside_the_target(table):
    table.run((Op.ADD, ABC))
    found = table.sql('SELECT sync_id, run_id, "number", op, "rows" FROM zsync_receipts')
    assert found == [("vip", "run0001", 1, "add", 3)]


@pytest.mark.parametrize("op", [Op.ADD, Op.UPDATE])
def test_a_refused_batch_leaves_neither_rows_nor_receipt(table, op):
    table.sql("CREATE TABLE {t} (id BIGINT PRIMARY KEY, email VARCHAR(40) UNIQUE)")
    table.sql("INSERT INTO {t} VALUES (9, '2@x.org')")
    destination = table.open()
    batch = table.batch(op, ABC)
    receipt = destination.send(batch)
    assert (receipt.rest, receipt.permanent, receipt.exceptions) == (Outcome.REJECTED, True, {})
    assert "2@x.org" not in receipt.reason
    assert destination.lookup(batch).reason == "never arrived"
    assert table.held() == [(9, "2@x.org")]
    accepted = destination.send(table.batch(op, {"1": ABC["1"]}))
    assert accepted.count(Outcome.ACCEPTED) == 1
    destination.close()
    assert table.held() == [(1, "1@x.org"), (9, "2@x.org")]
    assert receipts(table) == 1


def test_a_failure_after_the_rows_takes_them_back(table, monkeypatch):
    destination = table.open()

    def fail(batch, receipt):
        raise KeyboardInterrupt

    monkeypatch.setattr(destination._records, "store", fail)
    with pytest.raises(KeyboardInterrupt):
        destination.send(table.batch(Op.ADD, ABC))
    monkeypatch.undo()
    assert destination.send(table.batch(Op.ADD, {"1": ABC["1"]})).count(Outcome.ACCEPTED) == 1
    destination.close()
    assert table.held() == [(1, "1@x.org")]
    assert receipts(table) == 1


def test_receipts_are_forgotten_after_a_month(table):
    table.run((Op.ADD, ABC))
    table.run((Op.UPDATE, ABC))
    table.sql("""UPDATE zsync_receipts SET "at" = '2001-01-01 00:00:00' WHERE run_id = 'run0001'""")
    table.run()
    assert table.sql("SELECT run_id FROM zsync_receipts") == [("run0002",)]


def test_lookup_creates_nothing(table):
    destination = table.connect()
    assert destination.lookup(table.batch(Op.ADD, ABC)).reason == "never arrived"
    destination.close()
    if table.backend == "postgresql":
        assert table.sql("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == [(0,)]
    if table.backend == "mysql":
        assert table.sql("SHOW TABLES") == []


TOO_LONG = "too long for the column (column 'email')"
NOT_OF_THE_TYPE = "not a value of the column's type (column 'email')"
REASONS = [
    ("UUID", {"postgresql": NOT_OF_THE_TYPE, "duckdb": "cannot be converted"}),
    ("VARCHAR(5)", {"postgresql": TOO_LONG, "mysql": TOO_LONG}),
    ("INTEGER", {"postgresql": "not a value of the column's type", "duckdb": "cannot be converted"}),
    ("INTEGER", {"mysql": NOT_OF_THE_TYPE}),
    (
        "VARCHAR(40), CONSTRAINT short CHECK (length(email) < 3)",
        {
            "postgresql": "violates a check constraint 'short'",
            "mysql": "violates a check constraint 'short'",
            "duckdb": "a constraint",
            "sqlite": "a constraint",
        },
    ),
]


@pytest.mark.parametrize(("column", "reasons"), REASONS)
def test_reasons_name_the_column_or_constraint_and_never_a_value(table, column, reasons):
    if table.backend not in reasons:
        pytest.skip("this database takes it")
    table.sql(f"CREATE TABLE {{t}} (id BIGINT PRIMARY KEY, email {column})")
    destination = table.open()
    for op in (Op.ADD, Op.UPDATE):
        receipt = destination.send(table.batch(op, {"1": {"email": VALUE}}))
        assert (receipt.rest, receipt.permanent) == (Outcome.REJECTED, True)
        assert reasons[table.backend] in receipt.reason
        assert VALUE not in receipt.reason
    destination.close()


def test_a_null_where_none_is_taken_names_the_column(table):
    table.sql("CREATE TABLE {t} (id BIGINT PRIMARY KEY, email VARCHAR(40) NOT NULL)")
    destination = table.open()
    receipt = destination.send(table.batch(Op.ADD, {"1": {"email": None}}))
    destination.close()
    assert receipt.rest is Outcome.REJECTED
    assert "email" in receipt.reason


def test_a_value_that_cannot_be_stored_is_refused_not_fatal(postgres_table):
    destination = postgres_table.open()
    receipt = destination.send(postgres_table.batch(Op.ADD, {"1": {"email": "a\x00b"}}))
    assert receipt.rest is Outcome.REJECTED
    assert destination.send(postgres_table.batch(Op.ADD, ABC)).rest is Outcome.ACCEPTED
    destination.close()


def test_a_table_that_vanishes_in_a_run(table):
    table.run((Op.ADD, ABC))
    destination = table.open()
    if table.backend == "duckdb":
        destination._db.execute(f"DROP TABLE {table.name}")
    else:
        table.sql("DROP TABLE {t}")
    with pytest.raises(TargetMissingError):
        destination.send(table.batch(Op.UPDATE, ABC))
    destination.close()


def test_a_new_mapping_to_a_column_that_is_not_there(table):
    table.run((Op.ADD, ABC))
    destination = table.open()
    payload = pa.schema([("phone", pa.string())])
    with pytest.raises(TargetMissingError, match="no column 'phone'"):
        destination.send(table.batch(Op.ADD, {"4": {"phone": "1"}}, payload=payload))
    destination.close()


@pytest.mark.parametrize(("file", "error"), [("nowhere/crm.db", UnreachableError), ("garbage.db", TargetMissingError)])
@pytest.mark.parametrize("backend", ["sqlite", "duckdb"])
def test_files_that_cannot_be_opened(sqlite_table, tmp_path, file, error, backend):
    (tmp_path / "garbage.db").write_bytes(b"not a database" * 1000)
    sqlite_table.config["url"] = f"{backend}:///{tmp_path}/{file}"
    with pytest.raises(error):
        sqlite_table.open()


def test_a_duckdb_file_that_another_process_holds(duckdb_table):
    duckdb_table.run((Op.ADD, ABC))
    path = duckdb_table.config["url"].partition(":///")[2]
    code = "import duckdb, sys; c = duckdb.connect(sys.argv[1]); print('open', flush=True); sys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", code, path], stdin=-1, stdout=-1) as other:
        other.stdout.readline()
        with pytest.raises(UnreachableError, match="another process holds the file"):
            duckdb_table.open()
        other.stdin.close()
    duckdb_table.run((Op.UPDATE, ABC))


def test_a_locked_sqlite_file_is_worth_another_try(sqlite_table, monkeypatch):
    import sqlite3

    monkeypatch.setattr("zsync_pipelines.destinations.sql.sqlite._BUSY_SECONDS", 0.1)
    destination = sqlite_table.open()
    other = sqlite3.connect(sqlite_table.config["url"].partition(":///")[2], isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    receipt = destination.send(sqlite_table.batch(Op.ADD, ABC))
    assert (receipt.rest, receipt.permanent) == (Outcome.REJECTED, False)
    other.execute("ROLLBACK")
    other.close()
    assert destination.send(sqlite_table.batch(Op.ADD, ABC)).rest is Outcome.ACCEPTED
    destination.close()


def test_logins_and_databases_that_do_not_exist(server_table):
    table = server_table
    url = sa.make_url(table.config["url"])
    nobody = url.set(username="nobody_here", password="hunter2")
    for wrong, error in (
        (nobody, CredentialsError),
        (url.set(database="no_such_database"), TargetMissingError),
        (nobody.set(host="127.0.0.1", port=1, query={}), UnreachableError),
        (nobody.set(host="host.invalid", query={}), UnreachableError),
    ):
        table.config["url"] = wrong.render_as_string(hide_password=False)
        with pytest.raises(error) as failure:
            table.open()
        assert "hunter2" not in "".join(traceback.format_exception(failure.value))


def test_a_user_without_rights_is_told_which(postgres_table):
    table = postgres_table
    table.sql("CREATE TABLE {t} (id BIGINT PRIMARY KEY, email TEXT)")
    table.sql("DROP ROLE IF EXISTS zsync_reader")
    table.sql("CREATE ROLE zsync_reader LOGIN")
    url = sa.make_url(table.config["url"])
    owner, reader = table.config["url"], url.set(username="zsync_reader").render_as_string(hide_password=False)
    table.sql("REVOKE CREATE ON SCHEMA public FROM PUBLIC")
    table.config["url"] = reader
    destination = table.connect()
    *_, last = destination.check()
    destination.close()
    assert (last.name, last.status.value) == ("permission", "failed")
    assert "INSERT" in last.detail
    with pytest.raises(CredentialsError, match=r"zsync_receipts.*GRANT|grant CREATE"):
        table.open()
    table.config["url"] = owner
    table.run()
    table.sql("GRANT SELECT, INSERT, UPDATE, DELETE ON zsync_receipts, zsync_adopted TO zsync_reader")
    table.config["url"] = reader
    destination = table.open()
    with pytest.raises(CredentialsError, match="permission denied for table"):
        destination.send(table.batch(Op.ADD, ABC))
    destination.close()
    table.config["url"] = owner
    table.sql("DROP OWNED BY zsync_reader")
    table.sql("DROP ROLE zsync_reader")


def kill_connections(table):
    url = table.config["url"]
    if table.backend == "mysql":
        found = table.sql(
            "SELECT ID FROM information_schema.PROCESSLIST WHERE DB = DATABASE() AND ID <> CONNECTION_ID()"
        )
        for (number,) in found:
            table.sql(f"KILL {number}")
        return
    with psycopg.connect(url, autocommit=True) as admin:
        admin.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE application_name = 'zsync' AND datname = current_database()"
        )


def test_a_connection_lost_before_the_commit_applied_nothing_and_is_made_again(server_table):
    table = server_table
    destination = table.open()
    kill_connections(table)
    batch = table.batch(Op.ADD, ABC)
    with pytest.raises(TryAgainError, match="nothing was applied"):
        destination.send(batch)
    assert destination.lookup(batch).reason == "never arrived"
    assert destination.send(batch).rest is Outcome.ACCEPTED
    destination.close()


@pytest.mark.parametrize("applied", [True, False])
def test_a_connection_lost_in_the_commit_is_an_unknown_outcome_that_lookup_settles(server_table, monkeypatch, applied):
    table = server_table
    destination = table.open()
    execute = destination._db.execute

    def lossy(sql, parameters=()):
        if sql != "COMMIT":
            return execute(sql, parameters)
        if applied:
            execute(sql)
        kill_connections(table)
        return execute("SELECT 1")

    monkeypatch.setattr(destination._db, "execute", lossy)
    batch = table.batch(Op.ADD, ABC)
    with pytest.raises(OutcomeUnknownError):
        destination.send(batch)
    monkeypatch.undo()
    found = destination.lookup(batch)
    assert found == (batch.accept_all() if applied else batch.reject_all("never arrived", permanent=False))
    assert destination.send(batch) == batch.accept_all()
    destination.close()
    assert len(table.held()) == 3
    assert receipts(table) == 1


def test_a_deferred_constraint_refuses_the_batch_at_the_commit(postgres_table):
    table = postgres_table
    table.sql("CREATE TABLE {t} (id BIGINT PRIMARY KEY, email TEXT UNIQUE DEFERRABLE INITIALLY DEFERRED)")
    destination = table.open()
    receipt = destination.send(table.batch(Op.ADD, {"1": {"email": "a"}, "2": {"email": "a"}}))
    assert receipt.rest is Outcome.REJECTED
    assert "unique" in receipt.reason
    assert destination.send(table.batch(Op.ADD, {"1": {"email": "a"}})).rest is Outcome.ACCEPTED
    destination.close()


def test_lookup_waits_for_a_transaction_that_is_just_applying_the_batch(server_table):
    import threading
    import time

    table = server_table
    slow, batch = table.open(), table.batch(Op.ADD, ABC)
    store, entered = slow._records.store, threading.Event()

    def slowly(*arguments):
        entered.set()
        time.sleep(0.5)
        store(*arguments)

    slow._records.store = slowly
    sending = threading.Thread(target=slow.send, args=(batch,))
    sending.start()
    entered.wait()
    other = table.connect()
    assert other.lookup(batch) == batch.accept_all()
    sending.join()
    other.close()
    slow.close()


def test_two_syncs_prepare_one_schema_at_once(server_table):
    import threading

    failures = []

    def prepare(number):
        mine = replace(server_table, config={**server_table.config, "table": f"at_once{number}"})
        try:
            mine.run((Op.ADD, ABC))
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=prepare, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert receipts(server_table) == 6
