"""Existing tables: what is checked before anything is sent, and which values make a member invalid."""

from __future__ import annotations

import re

import pyarrow as pa
import pytest

from zsync_pipelines.domain.capabilities import FieldType
from zsync_pipelines.domain.delivery import Op, Outcome
from zsync_pipelines.domain.destination import CheckStatus
from zsync_pipelines.domain.keys import KeyType
from zsync_pipelines.errors import TargetMissingError


def fields(table):
    destination = table.connect()
    try:
        return destination.fields(table.shape)
    finally:
        destination.close()


def refusal(table):
    """Why the table cannot take the sync; `fields` and `open` agree where both can know."""
    with pytest.raises(TargetMissingError) as failure:
        fields(table)
    return str(failure.value)


def test_a_table_that_is_missing_and_not_to_be_made(table):
    table.config["create_table"] = False
    assert "create_table: true" in refusal(table)
    with pytest.raises(TargetMissingError, match="there is no table"):
        table.open()
    destination = table.connect()
    *_, last = destination.check()
    destination.close()
    assert (last.name, last.status) == ("table", CheckStatus.FAILED)


def test_a_missing_key_column_is_named(table):
    table.sql("CREATE TABLE {t} (customer BIGINT PRIMARY KEY, email VARCHAR(40))")
    assert "no column 'id'" in refusal(table)
    with pytest.raises(TargetMissingError, match="key_column"):
        table.open()
    table.config["key_column"] = "customer"
    assert fields(table).fields
    table.run((Op.ADD, {"1": {"email": "a"}}))
    assert table.held("customer, email") == [(1, "a")]


def test_a_missing_field_is_named(table):
    table.sql("CREATE TABLE {t} (id BIGINT PRIMARY KEY)")
    assert "no column 'email'" in refusal(table)
    assert "field mapping" in refusal(table)


def test_removals_need_no_column_but_the_key(table):
    """As subtractive syncs do, which map fields and never send any."""
    table.sql("CREATE TABLE {t} (id BIGINT PRIMARY KEY, name VARCHAR(9))")
    table.sql("INSERT INTO {t} VALUES (1, 'a'), (2, 'b')")
    (receipt,) = table.run((Op.REMOVE, {"1": {"email": None}}))
    assert receipt.count(Outcome.ACCEPTED) == 1
    assert table.held("id, name") == [(2, "b")]


@pytest.mark.parametrize("extra", ["", ", UNIQUE (id, email)"])
def test_a_key_column_that_is_not_unique_is_refused(table, extra):
    table.sql(f"CREATE TABLE {{t}} (id BIGINT, email VARCHAR(40){extra})")
    assert "not unique" in refusal(table)
    with pytest.raises(TargetMissingError, match="not unique"):
        table.open()


@pytest.mark.parametrize(
    "made",
    [
        ["CREATE TABLE {t} (id BIGINT UNIQUE, email VARCHAR(40))"],
        ["CREATE TABLE {t} (id BIGINT, email VARCHAR(40))", "CREATE UNIQUE INDEX {t}_one ON {t} (id)"],
    ],
)
def test_a_unique_key_need_not_be_primary(table, made):
    for statement in made:
        table.sql(statement)
    table.run((Op.ADD, {"1": {"email": "a"}}), (Op.UPDATE, {"1": {"email": "b"}}))
    assert table.held() == [(1, "b")]


def test_flags_need_their_column(table):
    table.config["on_remove"] = "flag"
    table.sql("CREATE TABLE {t} (id BIGINT PRIMARY KEY, email VARCHAR(40))")
    assert "ALTER TABLE" in refusal(table)
    assert re.search('ADD COLUMN ["`]is_member["`] BOOLEAN', refusal(table))
    with pytest.raises(TargetMissingError, match="is_member"):
        table.open()


def test_columns_that_somebody_must_fill_are_named(table):
    table.sql(
        "CREATE TABLE {t} (id BIGINT PRIMARY KEY, email VARCHAR(40), a INTEGER NOT NULL, b INTEGER NOT NULL DEFAULT 1)"
    )
    text = refusal(table)
    assert "'a'" in text
    assert "'b'" not in text


def test_computed_columns_cannot_be_mapped(table):
    stored = "" if table.backend == "duckdb" else " STORED"
    table.sql(f"CREATE TABLE {{t}} (id BIGINT PRIMARY KEY, email BIGINT GENERATED ALWAYS AS (id + 1){stored})")
    assert "filled by the database" in refusal(table)


@pytest.mark.parametrize("name", ["id", "is_member"])
def test_a_field_cannot_be_a_column_that_zsync_writes_itself(table, name):
    table.config["on_remove"] = "flag"
    table.payload = pa.schema([(name, pa.string())])
    assert f"'{name}'" in refusal(table)
    with pytest.raises(TargetMissingError):
        table.open()


def test_two_fields_whose_names_differ_in_case(table):
    table.payload = pa.schema([("email", pa.string()), ("Email", pa.string())])
    if table.backend == "postgresql":
        table.run((Op.ADD, {"1": {"email": "a", "Email": "b"}}))
        assert table.held('id, email, "Email"') == [(1, "a", "b")]
    else:
        assert "case" in refusal(table)


@pytest.mark.parametrize(
    ("column", "key_type", "taken"),
    [
        ("BIGINT", KeyType.INTEGER, True),
        ("BIGINT", KeyType.UUID, False),
        ("VARCHAR(40)", KeyType.INTEGER, True),
        ("VARCHAR(40)", KeyType.UUID, True),
        ("DATE", KeyType.TEXT, False),
        ("DOUBLE PRECISION", KeyType.INTEGER, False),
    ],
)
def test_key_columns_that_hold_the_keys_or_not(table, column, key_type, taken):
    table.key_type = key_type
    table.sql(f"CREATE TABLE {{t}} (id {column} PRIMARY KEY, email VARCHAR(40))")
    if taken:
        assert fields(table)
    else:
        assert "cannot hold the keys" in refusal(table)


def test_integer_keys_beyond_the_column_are_invalid(table):
    table.sql("CREATE TABLE {t} (id SMALLINT PRIMARY KEY, email VARCHAR(40))")
    rows = {key: {"email": "a"} for key in ("1", "32767", "32768", "-32769")}
    # SQLite's types do not limit what a column holds.
    assert set(table.takes(rows)) == ({*rows} if table.backend == "sqlite" else {"1", "32767"})


def test_text_keys_in_an_integer_column_are_digits_or_refused(table):
    table.sql("CREATE TABLE {t} (id BIGINT PRIMARY KEY, email VARCHAR(40))")
    table.key_type = KeyType.TEXT
    rows = {key: {"email": "x"} for key in ("7", "007", "seven", "-1", "+1", "9" * 30)}
    for op in (Op.ADD, Op.UPDATE):
        (receipt,) = table.run((op, table.takes(rows)))
        assert {r.entity_key for r in receipt.rejections()} == {"007", "seven", "+1", "9" * 30}
        assert not any("seven" in r.reason for r in receipt.rejections())
        assert table.held() == [(-1, "x"), (7, "x")]
    table.run((Op.REMOVE, {"7": {}}))
    assert table.held() == [(-1, "x")]


def test_limits_of_columns_make_members_invalid(table):
    table.sql(
        "CREATE TABLE {t} (id BIGINT PRIMARY KEY, text VARCHAR(5), small SMALLINT NOT NULL, exact DECIMAL(5, 2), "
        "yes BOOLEAN, day DATE)"
    )
    table.payload = pa.schema(
        [
            ("text", pa.string()),
            ("small", pa.int64()),
            ("exact", pa.float64()),
            ("yes", pa.string()),
            ("day", pa.timestamp("us")),
        ]
    )
    specs = fields(table).fields
    assert specs["small"].nullable is False
    assert FieldType.TEXT not in specs["yes"].types
    assert specs["day"].types == {FieldType.DATE}
    if table.backend != "sqlite":
        assert (specs["small"].minimum, specs["small"].maximum) == (-32768, 32767)
        assert (specs["exact"].minimum, specs["exact"].maximum) == (-999.99, 999.99)
    if table.backend in ("postgresql", "mysql"):
        assert specs["text"].max_length == 5
    base = {"text": None, "small": 1, "exact": None, "yes": None, "day": None}
    rows = {
        "1": base,
        "2": {**base, "text": "ééééé"},
        "3": {**base, "text": "123456"},
        "4": {**base, "small": None},
        "5": {**base, "small": 40_000},
        "6": {**base, "exact": 999.99},
        "7": {**base, "exact": 1000.0},
        "8": {**base, "exact": float("nan")},
        "9": {**base, "yes": "maybe"},
    }
    taken = table.takes(rows)
    assert {"1", "2", "6"} <= set(taken)
    assert not {"4", "8", "9"} & set(taken)
    (receipt,) = table.run((Op.ADD, taken))
    assert receipt.count(Outcome.ACCEPTED) == len(taken)


def test_text_columns_take_everything_as_canonical_text(table):
    from datetime import UTC, date, datetime
    from decimal import Decimal

    names = ["a", "b", "c", "d", "e", "f", "g"]
    columns = ", ".join(f"{name} VARCHAR(60)" for name in names)
    table.sql(f"CREATE TABLE {{t}} (id VARCHAR(20) PRIMARY KEY, {columns})")
    kinds = [
        *(pa.int64(), pa.float64(), pa.decimal128(38, 20), pa.bool_(), pa.date32()),
        *(pa.timestamp("us"), pa.timestamp("us", "UTC")),
    ]
    table.payload = pa.schema(list(zip(names, kinds, strict=True)))
    values = [
        2**60,
        0.1,
        Decimal("1E-20"),
        True,
        date(2024, 2, 29),
        datetime(2024, 1, 1),
        datetime(2024, 1, 1, tzinfo=UTC),
    ]
    rows = {"1": dict(zip(names, values, strict=True)), "2": {**dict.fromkeys(names), "b": float("-inf")}}
    assert table.takes(rows).keys() == rows.keys()
    table.run((Op.ADD, rows))
    one, two = table.held("id, " + ", ".join(names))
    assert one == (
        "1",
        "1152921504606846976",
        "0.1",
        "0.00000000000000000001",
        "true",
        "2024-02-29",
        "2024-01-01T00:00:00.000000",
        "2024-01-01T00:00:00.000000Z",
    )
    assert two == ("2", None, "-inf", None, None, None, None, None)


def test_names_follow_the_databases_own_rule_of_case(table):
    table.sql('CREATE TABLE {t} ("ID" BIGINT PRIMARY KEY, "EMail" VARCHAR(40))')
    if table.backend == "postgresql":
        assert "no column 'id'" in refusal(table)
    else:
        table.run((Op.ADD, {"1": {"email": "a"}}))
        assert table.held() == [(1, "a")]


def test_a_schema_that_is_missing(table):
    if table.backend == "sqlite":
        pytest.skip("SQLite's schemas are its files")
    table.config["table"] = "nowhere.contacts"
    assert "no schema 'nowhere'" in refusal(table)


def test_a_table_in_a_schema_keeps_its_receipts_beside_it(table):
    if table.backend == "sqlite":
        pytest.skip("SQLite's schemas are its files")
    table.sql("CREATE SCHEMA sales")
    table.config["table"] = "sales.contacts"
    table.run((Op.ADD, {"1": {"email": "a"}}))
    assert table.sql("SELECT count(*) FROM sales.zsync_receipts") == [(1,)]
    assert table.held() == [(1, "a")]


def test_a_duckdb_schema_that_is_named_like_its_file(duckdb_table):
    duckdb_table.sql("CREATE SCHEMA crm")
    duckdb_table.config["table"] = "crm.contacts"
    duckdb_table.run((Op.ADD, {"1": {"email": "a"}}))
    assert duckdb_table.sql("SELECT id, email FROM crm.crm.contacts") == [(1, "a")]


@pytest.mark.parametrize(
    ("key_type", "expected"),
    [
        (KeyType.INTEGER, {"postgresql": "bigint", "duckdb": "BIGINT", "sqlite": "BIGINT", "mysql": "bigint"}),
        (KeyType.TEXT, {"postgresql": "text", "duckdb": "VARCHAR", "sqlite": "TEXT", "mysql": "varchar"}),
        (KeyType.UUID, {"postgresql": "uuid", "duckdb": "UUID", "sqlite": "TEXT", "mysql": "char"}),
    ],
)
def test_types_of_a_table_that_is_made(table, key_type, expected):
    table.key_type = key_type
    table.payload = pa.schema([("exact", pa.decimal128(38, 4)), ("at", pa.timestamp("us", "UTC"))])
    table.run()
    if table.backend == "sqlite":
        types = {row[1]: row[2] for row in table.sql("PRAGMA table_info({t})")}
        assert (types["exact"], types["at"]) == ("NUMERIC", "TIMESTAMP WITH TIME ZONE")
    else:
        types = dict(
            table.sql("SELECT column_name, data_type FROM information_schema.columns WHERE table_name = '{t}'")
        )
        assert types["at"].lower() == ("datetime" if table.backend == "mysql" else "timestamp with time zone")
    assert types["id"] == expected[table.backend]
