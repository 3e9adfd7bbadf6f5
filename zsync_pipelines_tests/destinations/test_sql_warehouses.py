"""Warehouses: runs that die at any statement, the rules of their transactions, and what their errors mean."""

from __future__ import annotations

import json
from dataclasses import replace

import pyarrow as pa
import pytest
from google.api_core import exceptions as google
from snowflake.connector import errors as snowflake

from zsync_pipelines.destinations.registry import connector, parse_settings
from zsync_pipelines.destinations.sql import bigquery_errors, redshift_errors, snowflake_errors
from zsync_pipelines.domain.delivery import MAYBE_THERE, Op, Outcome
from zsync_pipelines.errors import (
    ConfigError,
    CredentialsError,
    DestinationError,
    OutcomeUnknownError,
    TargetMissingError,
    TryAgainError,
    UnreachableError,
)
from zsync_pipelines_tests.destinations.conftest import make_warehouse_table
from zsync_pipelines_tests.support.warehouses import SCHEMAS, URLS, emulated

ABC = {key: {"email": f"{key}@x.org"} for key in ("1", "2", "3")}
VALUE = "pl4nted-value"


@pytest.fixture(params=URLS)
def table(request, tmp_path):
    yield from make_warehouse_table(request, request.param, tmp_path)


class DiedError(BaseException):
    """The process, at a statement."""


def die_at(table, number):
    """Let the process die at the statement of that number from now on, before or after the warehouse ran it."""
    left = [number]

    def before(sql):
        left[0] -= 1
        if left[0] < 0:
            raise DiedError

    table.server.before = before


def settle(table, batch):
    """What the next run makes of the batch: which of its rows may be there."""
    table.server.before = lambda sql: None
    table.server.hang_up()
    other = table.connect()
    found = other.lookup(batch)
    other.close()
    if found is None:
        return True
    return False if found.reason == "never arrived" else found


def restore(table, rows):
    """The table as it was: adoptions are forgotten with removals."""
    adopted = f'"{table.server.schema}"."zsync_adopted"'
    table.server.duck.execute(f'DELETE FROM "{table.server.schema}"."{table.name}"; DELETE FROM {adopted}')
    table.server.duck.execute(f"INSERT INTO {adopted} VALUES ('{table.name}', 'vip', '3')")
    for key, email in rows:
        table.sql(f"INSERT INTO {{t}} VALUES ({key}, '{email}')")


def prepared(table, op):
    """A stranger's row 2 and an adopted row 3, both to be met by the batch."""
    table.sql("CREATE TABLE {t} (id BIGINT PRIMARY KEY, email VARCHAR(40))")
    table.sql("INSERT INTO {t} VALUES (3, 'theirs')")
    table.config["adopt"] = True
    table.run((Op.ADD, {"3": {"email": "adopted"}}))
    table.config["adopt"] = False
    if op is not Op.ADD:
        table.run((Op.ADD, {"1": {"email": "old"}}))
        return {"1": {"email": "new"}, "3": {"email": "new"}}
    table.sql("INSERT INTO {t} VALUES (2, 'stranger')")
    return {"1": {"email": "new"}, "2": {"email": "never"}}


ENDS = {
    Op.ADD: [(1, "new"), (2, "stranger"), (3, "adopted")],
    Op.UPDATE: [(1, "new"), (3, "new")],
    Op.REMOVE: [(3, "adopted")],
}


@pytest.mark.parametrize("op", Op)
def test_a_batch_that_is_sent_again_after_a_death_at_any_statement_comes_out_right(request, tmp_path, table, op):
    rows, number, died = prepared(table, op), 0, True
    before = table.held()
    while died:
        destination = table.open()
        batch = table.batch(op, rows)
        die_at(table, number)
        try:
            destination.send(batch)
            died = False
        except DiedError:
            number += 1
        found = settle(table, batch)
        again = table.open()
        receipt = again.send(batch)
        again.close()
        assert {key: result.reason for key, result in receipt.exceptions.items()} == (
            {"2": "row exists"} if op is Op.ADD else {}
        )
        assert table.held() == ENDS[op]
        if found not in (True, False):
            assert found == receipt
        restore(table, before)
    assert number > 5


def test_a_later_batch_of_the_same_rows_after_a_death_at_any_statement_comes_out_right(table):
    rows, number, died, unknown = prepared(table, Op.ADD), 0, True, 0
    while died:
        destination = table.open()
        batch = table.batch(Op.ADD, {"1": rows["1"]})
        die_at(table, number)
        try:
            destination.send(batch)
            died = False
        except DiedError:
            number += 1
        found = settle(table, batch)
        unknown += found is True
        if found in (True, False):  # the next run's batch
            (receipt,) = [table.open().send(table.batch(Op.ADD, {"1": rows["1"]}, maybe_there=found))]
            assert receipt.count(Outcome.ACCEPTED) == 1
        assert table.held()[0] == (1, "new")
        table.run((Op.REMOVE, {"1": rows["1"]}))
        assert table.held() == [(2, "stranger"), (3, "adopted")]
    assert (unknown > 0) is (table.backend == "databricks")


def test_without_transactions_a_lost_connection_leaves_the_outcome_unknown(table):
    destination = table.open()

    def lost(sql):
        if sql.startswith("MERGE"):
            raise destination._db.errors[0]("gone")

    table.server.before = lost
    batch = table.batch(Op.ADD, ABC)
    with pytest.raises(OutcomeUnknownError if table.backend == "databricks" else TryAgainError):
        destination.send(batch)
    table.server.before = lambda sql: None
    assert destination.send(batch) == batch.accept_all()
    assert len(table.held()) == 3


def test_a_commit_without_an_answer_is_an_unknown_outcome_that_lookup_settles(table):
    if table.backend == "databricks":
        pytest.skip("there is no commit")
    destination = table.open()

    def lost(sql):
        if sql == "COMMIT":
            raise destination._db.errors[0]("gone")

    table.server.before = lost
    batch = table.batch(Op.ADD, ABC)
    with pytest.raises(OutcomeUnknownError):
        destination.send(batch)
    assert settle(table, batch) is False
    assert table.open().send(batch) == batch.accept_all()


def test_a_commit_that_ends_late_is_no_strangers(table, monkeypatch):
    if table.backend == "databricks":
        pytest.skip("there is no commit")
    destination = table.open()
    batch = table.batch(Op.ADD, ABC)
    first = destination.send(batch)
    find, calls = destination._records.find, []

    def late(asked, *, planned=False):
        calls.append(planned)
        return None if len(calls) == 1 else find(asked, planned=planned)

    monkeypatch.setattr(destination._records, "find", late)
    assert destination.send(batch) == first
    destination.close()
    assert len(calls) == 2
    assert len(table.held()) == 3


def test_rows_are_staged_before_the_transaction_begins(table):
    table.run((Op.ADD, ABC))
    table.server.asked.clear()
    table.run((Op.UPDATE, ABC))
    words = [sql.split()[0] for sql in table.server.asked]
    if table.backend == "databricks":
        assert "BEGIN" not in words
        assert words[-1] == "DROP"  # no temporary tables, so it is taken away
        return
    begun, merged, ended = (words.index(word) for word in ("BEGIN", "MERGE", "COMMIT"))
    assert words.index("CREATE") < begun < merged < ended
    assert words.count("COMMIT") == 1


def test_a_key_must_be_declared(table):
    table.sql("CREATE TABLE {t} (id BIGINT, email VARCHAR(40))")
    with pytest.raises(TargetMissingError, match="not unique"):
        table.open()


@pytest.mark.parametrize("long", [True, False])
def test_receipts_beyond_the_longest_text_are_kept_in_parts(warehouse_table, monkeypatch, long):
    table = warehouse_table
    table.sql("CREATE TABLE {t} (id BIGINT PRIMARY KEY, email VARCHAR(40))")
    for key in ABC:
        table.sql(f"INSERT INTO {{t}} VALUES ({key}, 'theirs')")
    destination = table.open()
    monkeypatch.setattr(type(destination._db), "text_bytes", 40 if long else 100_000)
    batch = table.batch(Op.ADD, {**ABC, "4": {"email": "d"}})
    receipt = destination.send(batch)
    assert receipt.count(Outcome.REJECTED) == 3
    assert destination.lookup(batch) == receipt
    assert destination.send(batch) == receipt
    destination.close()


def test_no_part_of_a_receipt_is_empty_or_lost_where_it_fills_them_exactly(warehouse_table, monkeypatch):
    destination = warehouse_table.open()
    batch = warehouse_table.batch(Op.ADD, ABC)
    length = len(json.dumps(batch.accept_all().to_json()))
    for bytes_of_text in (length - 1, length, length + 1, length // 2):
        monkeypatch.setattr(type(destination._db), "text_bytes", bytes_of_text)
        other = replace(batch, idempotency_key=f"k{bytes_of_text}")
        destination.send(replace(other, op=Op.UPDATE))
        assert destination.lookup(other) == batch.accept_all()
    destination.close()


TARGETS = {
    "snowflake://me:pw@my-org-acct/shop/marketing?warehouse=wh": {
        "dialect": "snowflake", "host": "my-org-acct", "database": "SHOP", "table": "MARKETING.contacts",
    },
    'snowflake://me:pw@acct/"shop"': {
        "dialect": "snowflake", "host": "acct", "database": "shop", "table": "PUBLIC.contacts",
    },
    "bigquery://my-project/crm?location=EU": {
        "dialect": "bigquery", "host": "my-project", "database": "crm", "table": "contacts",
    },
    "redshift+psycopg2://me:pw@Cluster.example.org/dev": {
        "dialect": "redshift", "host": "cluster.example.org", "port": "5439", "database": "dev",
        "table": "public.contacts",
    },
    "databricks://token:pw@host?http_path=/a&catalog=Main": {
        "dialect": "databricks", "host": "host", "database": "main", "table": "default.contacts",
    },
}  # fmt: skip


@pytest.mark.parametrize("url", TARGETS)
def test_the_target_is_the_place_and_not_the_compute(url):
    settings = parse_settings("sql", {"url": url, "table": "contacts"})
    assert connector("sql").target(settings, "vip") == TARGETS[url]


@pytest.mark.parametrize(
    ("url", "lacks"),
    [
        ("snowflake://me:pw@account", "database"),
        ("bigquery:///crm", "project"),
        ("bigquery://project", "dataset"),
        ("redshift://me@host", "database"),
        ("databricks://token:pw@host?http_path=/a", "catalog"),
    ],
)
def test_urls_that_do_not_say_where_are_refused(url, lacks):
    with pytest.raises(ConfigError, match=f"names no {lacks}") as failure:
        parse_settings("sql", {"url": url, "table": "contacts"})
    assert "pw" not in str(failure.value)


def snow(number, state, text=VALUE):
    return snowflake.ProgrammingError(msg=text, errno=number, sqlstate=state)


REFUSALS = [
    (snowflake_errors, snow(100078, "22000"), "too long", True),
    (snowflake_errors, snow(100072, "22000"), "null", True),
    (snowflake_errors, snow(100038, "22018"), "not a value", True),
    (snowflake_errors, snow(100999, "22023"), "error 100999", True),
    (snowflake_errors, snow(625, "57014"), "lock", False),
    (bigquery_errors, google.BadRequest(f"Required field email cannot be null: {VALUE}"), "null", True),
    (bigquery_errors, bigquery_errors.RowsError(VALUE), "not of its column", True),
    (bigquery_errors, google.BadRequest("Transaction is aborted due to concurrent update"), "another", False),
    (bigquery_errors, google.Forbidden(f"rateLimitExceeded {VALUE}"), "quota", False),
]


@pytest.mark.parametrize(("why", "error", "reason", "permanent"), REFUSALS)
def test_refusals_of_rows_hold_no_value(why, error, reason, permanent):
    found = why.refusal(error)
    assert reason in found.reason
    assert found.permanent is permanent
    assert VALUE not in found.reason


OTHERS = [
    (snowflake_errors, snow(2003, "02000"), TargetMissingError),
    (snowflake_errors, snow(904, "42000", "invalid identifier 'X'"), TargetMissingError),
    (snowflake_errors, snow(3001, "42501"), CredentialsError),
    (snowflake_errors, snow(606, "57P03"), CredentialsError),
    (snowflake_errors, snow(90105, "22000"), TargetMissingError),
    (snowflake_errors, snow(2023, "22000"), DestinationError),
    (snowflake_errors, snowflake.OperationalError("gone"), UnreachableError),
    (bigquery_errors, google.Forbidden("Access Denied"), CredentialsError),
    (bigquery_errors, google.NotFound("Not found: Table"), TargetMissingError),
    (bigquery_errors, google.BadRequest("Syntax error"), DestinationError),
    (bigquery_errors, google.ServiceUnavailable("503"), UnreachableError),
    (bigquery_errors, ConnectionError("gone"), UnreachableError),
]


@pytest.mark.parametrize(("why", "error", "kind"), OTHERS)
def test_errors_of_statements_say_who_must_act(why, error, kind):
    assert why.refusal(error) is None
    assert type(why.explained(error, "there", lambda text: text)) is kind


def test_logins_that_snowflake_refuses():
    refused = snowflake.DatabaseError(msg="Incorrect username or password was specified.", errno=250001)
    assert isinstance(snowflake_errors.connecting(refused, "there", str), CredentialsError)
    lost = snowflake.OperationalError(msg="Could not connect to Snowflake backend", errno=250001)
    assert isinstance(snowflake_errors.connecting(lost, "there", str), UnreachableError)


DATABRICKS = {
    "[CAST_INVALID_INPUT] The value 'pl4nted-value' of the type": "not a value",
    "[DELTA_NOT_NULL_CONSTRAINT_VIOLATED] pl4nted-value": "null",
    "[DELTA_CONCURRENT_APPEND.WITH_ROW_LEVEL_CHANGES] files were added": "another",
    "[TABLE_OR_VIEW_NOT_FOUND] contacts": TargetMissingError,
    "[INSUFFICIENT_PERMISSIONS] Insufficient privileges": CredentialsError,
    "[PARSE_SYNTAX_ERROR] at": DestinationError,
    "connection reset": UnreachableError,
}


@pytest.mark.parametrize("text", DATABRICKS)
def test_errors_of_databricks(text):
    with emulated("databricks"):
        from zsync_pipelines.destinations.sql import databricks_errors as why

        error, wanted = Exception(text), DATABRICKS[text]
        found = why.refusal(error)
        if isinstance(wanted, str):
            assert wanted in found.reason
            assert VALUE not in found.reason
        else:
            assert found is None
            assert type(why.explained(error, "there", str)) is wanted


def test_serializable_violations_of_redshift_are_worth_another_try():
    import psycopg2

    class ViolationError(psycopg2.InternalError):
        pgcode = "XX000"

    found = redshift_errors.refusal(ViolationError("1023 Serializable isolation violation on table - 1, VALUE"))
    assert found.permanent is False


def test_schemas_are_where_urls_say(table):
    destination = table.connect()
    assert destination._place.schema == SCHEMAS[table.backend]
    assert MAYBE_THERE not in destination._place.name
    destination.close()


def test_texts_with_signs_of_every_dialect_arrive_as_they_are(warehouse_table):
    table = warehouse_table
    table.payload = pa.schema([("email", pa.string())])
    texts = ["\\", "\\'", "a\\nb", "''", "`", "%s", "?", "$1", ":p", "{x}", "--", "\n", "\\\\"]
    rows = {str(number): {"email": text} for number, text in enumerate(texts)}
    table.run((Op.ADD, rows))
    assert [email for _, email in table.held('"id", "email"')] == texts
