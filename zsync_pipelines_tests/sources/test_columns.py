"""What leaves a source: types of columns in their one Arrow form, keys in canonical text, odd names."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import duckdb
import pyarrow as pa
import pytest

from zsync_pipelines.domain.keys import KeyType
from zsync_pipelines.errors import ConfigError, SourceError
from zsync_pipelines.sources.evaluate import compile_sql, evaluate
from zsync_pipelines_tests.sources.asking import (
    check_model,
    event,
    group,
    keys,
    members,
    model,
    prop,
    request,
    table,
    values,
)
from zsync_pipelines_tests.sources.backends import Backend

MOMENT = datetime(2024, 3, 10, 1, 2, 3, 456789)
FIELDS: list[tuple[str, Any, pa.DataType, Any]] = [
    ("small", -7, pa.int64(), -7),
    ("integer", 2**62, pa.int64(), 2**62),
    ("decimal", Decimal("9.90"), pa.decimal128(38, 2), Decimal("9.90")),
    ("float", 0.1, pa.float64(), 0.1),
    ("text", "Ünïcödé 😀", pa.string(), "Ünïcödé 😀"),
    ("boolean", True, pa.bool_(), True),
    ("date", date(2024, 2, 29), pa.date32(), date(2024, 2, 29)),
    ("naive", MOMENT, pa.timestamp("us"), MOMENT),
    ("zoned", MOMENT.replace(tzinfo=UTC), pa.timestamp("us", tz="UTC"), MOMENT.replace(tzinfo=UTC)),
    ("uuid", UUID(int=0xA << 124), pa.string(), "a0000000-0000-0000-0000-000000000000"),
]


@pytest.mark.parametrize(("kind", "value", "arrow", "expected"), FIELDS, ids=[kind for kind, *_ in FIELDS])
def test_one_arrow_type_per_family(db: Backend, kind: str, value: Any, arrow: pa.DataType, expected: Any) -> None:
    db.create(f"field_{kind}", {"id": "integer", "v": kind}, [(1, value), (2, None)])
    answer = table(db.url, request(model(f"field_{kind}"), columns=["v"])).sort_by("entity_key")
    assert answer.schema == pa.schema([("entity_key", pa.string()), ("c:v", arrow)])
    assert answer.column("c:v").to_pylist() == [expected, None]


def test_an_empty_audience_has_its_schema(db: Backend) -> None:
    db.create("nobody", {"id": "integer", "v": "decimal"}, [])
    answer = table(db.url, request(model("nobody"), columns=["v"]))
    assert answer.num_rows == 0
    assert answer.schema.field("c:v").type == pa.decimal128(38, 2)


@pytest.mark.parametrize(
    ("kind", "given", "key_type", "expected"),
    [
        ("integer", [10, -9, 2**62], KeyType.INTEGER, ["-9", "10", str(2**62)]),
        ("small", [1], KeyType.INTEGER, ["1"]),
        ("text", ["b", "B", "007", " ü ", ""], KeyType.TEXT, ["", "B", "b", " ü ", "007"]),
        ("uuid", [UUID(int=0xAB)], KeyType.UUID, ["00000000-0000-0000-0000-0000000000ab"]),
        ("NUMERIC(20,0)", [Decimal(12345678901234567)], KeyType.INTEGER, ["12345678901234567"]),
    ],
)
def test_keys_are_canonical_text(db: Backend, kind: str, given: list[Any], key_type: KeyType, expected: Any) -> None:
    if kind == "uuid" and "uuids" in db.lacks:
        pytest.skip("its UUIDs are texts")
    name = f"keys_{kind[:7]}"
    db.create(name, {"id": kind}, [(value,) for value in given])
    with evaluate(db.url, request(model(name))) as evaluation:
        assert evaluation.key_type is key_type
    assert keys(db.url, request(model(name))) == expected


@pytest.mark.parametrize("kind", ["float", "decimal", "date", "zoned", "boolean"])
def test_other_types_are_no_keys(db: Backend, kind: str) -> None:
    db.create(f"nokey_{kind}", {"id": kind}, [])
    with pytest.raises(ConfigError, match="integers, text and UUIDs can be an entity key"):
        table(db.url, request(model(f"nokey_{kind}")))


def test_null_and_duplicate_keys_pass(db: Backend) -> None:
    db.create("twice", {"id": "integer", "v": "text"}, [(1, "a"), (1, "a"), (1, "b"), (None, "n")])
    answer = table(db.url, request(model("twice"), columns=["v"]))
    rows = sorted(zip(*(answer.column(n).to_pylist() for n in range(2)), strict=True), key=str)
    assert rows == [("1", "a"), ("1", "a"), ("1", "b"), (None, "n")]


def test_nan_stays_nan_and_sorts_above_every_number(db: Backend) -> None:
    if "nan" in db.lacks:
        pytest.skip("keeps NaN as null")
    db.create("nans", {"id": "integer", "f": "float"}, [(1, math.nan), (2, 1.0), (3, math.inf), (4, None)])
    assert math.isnan(values(db.url, model("nans"), "f")["1"])
    assert members(db.url, model("nans"), prop("f", "greater_than", 1e308)) == "1 3"
    assert members(db.url, model("nans"), group("not", prop("f", "greater_than", 1))) == "2"


ODD = 'O"d d.Nämé;--%s:x'


def test_odd_names_are_quoted(db: Backend) -> None:
    table_name = ODD.replace(".", "_")
    db.create(table_name, {"Key ID": "integer", ODD: "text", "select": "integer"}, [(1, "x", 2), (2, "y", 3)])
    db.create("Ev ents", {"Key ID": "integer", "Time Stamp": "date"}, [(1, date(2024, 1, 1))])
    events = {"Bought %": {"table": "Ev ents", "foreign_key": "Key ID", "timestamp": "Time Stamp"}}
    odd = model('"' + table_name.replace('"', '""') + '"', key="Key ID", events=events)
    both = group("and", prop(ODD, "equals", "x"), prop("select", "equals", 2), event("Bought %", "at_least", 1))
    assert values(db.url, odd, ODD, "select", filter_tree=both) == {"1": ("x", 2)}


def test_a_column_may_be_called_entity_key(db: Backend) -> None:
    db.create("named", {"entity_key": "integer", "entity_key_column": "text"}, [(1, "x")])
    named = model("named", key="entity_key")
    everybody = group("not", prop("entity_key", "is_null"))
    answer = table(db.url, request(named, everybody, ["entity_key", "entity_key_column"]))
    assert answer.column_names == ["entity_key", "c:entity_key", "c:entity_key_column"]
    assert answer.to_pylist() == [{"entity_key": "1", "c:entity_key": 1, "c:entity_key_column": "x"}]


def test_a_query_is_taken_as_it_stands(db: Backend) -> None:
    db.create("raw", {"n": "integer", "s": "text"}, [(1, "12:30"), (2, "%"), (3, ":x")])
    query = "SELECT n AS id, s, '%:y' AS c FROM raw WHERE s <> ':x' -- :z the end %s ?"
    assert values(db.url, model(query=query), "s", "c") == {"1": ("12:30", "%:y"), "2": ("%", "%:y")}
    assert members(db.url, model(query="SELECT n AS id, s FROM raw;\n"), prop("s", "equals", "12:30")) == "1"


def test_schemas(db: Backend) -> None:
    if "schemas" in db.lacks:
        pytest.skip("has no schemas")
    db.run('CREATE DATABASE "Sh op"' if db.name == "clickhouse" else 'CREATE SCHEMA "Sh op"')
    db.create("Sh op\x00cust", {"id": "integer"}, [(1,)])
    assert members(db.url, model("Sh op.cust"), prop("id", "is_not_null")) == "1"


def test_columns_that_cannot_be_fields_are_named_only_when_asked_for(db: Backend) -> None:
    kind = {"postgresql": "BYTEA"}.get(db.name, "BLOB")
    db.create("blobs", {"id": "integer", "v": kind}, [(1, b"x"), (2, None)])
    assert members(db.url, model("blobs"), prop("v", "is_null")) == "2"
    with pytest.raises(ConfigError, match=r"columns\.0: column 'v' is .*cannot be a field"):
        table(db.url, request(model("blobs"), columns=["v"]))


@pytest.mark.postgres
@pytest.mark.parametrize("db", ["postgresql"], indirect=True)
class TestPostgreSQL:
    """What only PostgreSQL has."""

    def test_numeric_without_precision_has_the_scale_of_its_data(self, db: Backend) -> None:
        rows = [(1, Decimal("1.5")), (2, Decimal("2.125")), (3, Decimal(10) ** 30), (4, None)]
        db.create("free", {"id": "integer", "n": "NUMERIC"}, rows)
        events = {"e": {"table": "free", "foreign_key": "id", "timestamp": "at"}}
        db.run("ALTER TABLE free ADD COLUMN at DATE DEFAULT '2024-01-01'")
        free = model("free", events=events, traits={"t": {"event": "e", "aggregate": "sum", "column": "n"}})
        answer = table(db.url, request(free, prop("n", "less_than", 2), ["n", "t"]))
        assert answer.to_pylist() == [{"entity_key": "1", "c:n": Decimal("1.500"), "c:t": Decimal("1.500")}]
        assert answer.schema.field("c:n").type == answer.schema.field("c:t").type == pa.decimal128(38, 3)

    @pytest.mark.parametrize("value", ["NaN", "Infinity", "1e40", "9" * 50, "8" * 100])
    def test_a_numeric_that_no_decimal_holds_is_an_error_without_the_value(self, db: Backend, value: str) -> None:
        name = f"bad_{value[:3].lower()}"
        db.run(f"CREATE TABLE {name} AS SELECT 1::bigint AS id, '{value}'::numeric AS n")
        with pytest.raises(SourceError, match=r"column 'n' holds a value that is no decimal128\(38, 0\)") as caught:
            table(db.url, request(model(name), columns=["n"]))
        assert value not in str(caught.value).replace("NaN, infinity", "")
        assert members(db.url, model(name), prop("n", "is_not_null")) == "1"

    def test_enums_padded_text_and_json(self, db: Backend) -> None:
        db.run("CREATE TYPE mood AS ENUM ('happy', 'sad')")
        rows = [(1, "happy", "ab", '{"a": 1}', 1), (2, "sad", "abcde", None, 2)]
        db.create("moods", {"id": "integer", "m": "mood", "c": "CHAR(5)", "j": "JSONB", "r": "REAL"}, rows)
        moods = model("moods")
        assert values(db.url, moods, "m", "c", "j", "r")["1"] == ("happy", "ab", '{"a": 1}', 1.0)
        assert members(db.url, moods, prop("m", "in", ["sad", "x"])) == "2"
        assert members(db.url, moods, prop("c", "ends_with", "b")) == "1"
        assert members(db.url, moods, prop("j", "is_null")) == "2"

    def test_rows_come_in_batches_of_one_transaction(self, db: Backend) -> None:
        db.run("CREATE TABLE many AS SELECT g AS id FROM generate_series(1, 250000) g")
        with evaluate(db.url, request(model("many"))) as evaluation:
            batches = evaluation.batches()
            sizes = [next(batches).num_rows]
            db.run("DELETE FROM many")
            sizes += [batch.num_rows for batch in batches]
        assert sum(sizes) == 250_000
        assert max(sizes) <= 100_000

    def test_a_failure_midway_is_an_error(self, db: Backend) -> None:
        query = "SELECT g AS id, 1 / (g - 900000) AS v FROM generate_series(1, 900000) g"
        with evaluate(db.url, request(model(query=query), columns=["v"])) as evaluation:
            batches = evaluation.batches()
            next(batches)
            with pytest.raises(SourceError, match="division by zero"):
                list(batches)


@pytest.mark.parametrize("db", ["duckdb"], indirect=True)
class TestDuckDB:
    """What only DuckDB has."""

    def test_wide_integers_are_decimals(self, db: Backend) -> None:
        db.create("wide", {"id": "HUGEINT", "u": "UBIGINT"}, [(2**100, 2**64 - 1)])
        wide = model("wide")
        assert values(db.url, wide, "u") == {str(2**100): Decimal(2**64 - 1)}
        assert members(db.url, wide, prop("u", "equals", 2**64 - 1)) == str(2**100)
        assert members(db.url, wide, prop("id", "in", [2**100, 1])) == str(2**100)

    def test_enums_json_and_precise_timestamps(self, db: Backend) -> None:
        rows = [(1, "b", '{"a": 1}', "2024-01-01 00:00:00.123456789")]
        db.create("various", {"id": "integer", "e": "ENUM('a', 'b')", "j": "JSON", "n": "TIMESTAMP_NS"}, rows)
        expected = {"1": ("b", '{"a": 1}', datetime(2024, 1, 1, microsecond=123456))}
        assert values(db.url, model("various"), "e", "j", "n") == expected
        assert members(db.url, model("various"), prop("e", "starts_with", "b")) == "1"

    def test_rows_are_streamed(self, db: Backend) -> None:
        many = model(query="SELECT range AS id FROM range(350000)")
        with evaluate(db.url, request(many)) as evaluation:
            sizes = [batch.num_rows for batch in evaluation.batches()]
        assert sum(sizes) == 350_000
        assert max(sizes) <= 150_000

    def test_a_failure_midway_is_an_error(self, db: Backend) -> None:
        query = "SELECT range AS id, CASE WHEN range = 250000 THEN error('late') ELSE range END AS v FROM range(300000)"
        with (
            evaluate(db.url, request(model(query=query), columns=["v"])) as evaluation,
            pytest.raises(SourceError, match="late"),
        ):
            list(evaluation.batches())

    def test_a_variable_of_this_process_is_no_table(self, db: Backend) -> None:
        ghost = pa.table({"id": [1]})
        assert ghost.num_rows == 1
        with pytest.raises(SourceError, match="table 'ghost' of model 'people' cannot be read"):
            table(db.url, request(model("ghost")))

    def test_a_file_that_this_process_writes_can_be_read(self, db: Backend) -> None:
        db.create("shared", {"id": "integer"}, [(1,)])
        path = db.url.removeprefix("duckdb:///")
        with duckdb.connect(path) as writer:
            writer.execute("INSERT INTO shared VALUES (2)")
            assert members(db.url, model("shared"), prop("id", "is_not_null")) == "1 2"

    def test_the_file_is_opened_read_only(self, db: Backend) -> None:
        db.create("kept", {"id": "integer"}, [(1,)])
        with evaluate(db.url, request(model("kept"))) as evaluation:
            list(evaluation.batches())
            with duckdb.connect(db.url.removeprefix("duckdb:///"), read_only=True) as other:
                assert other.execute("SELECT count(*) FROM kept").fetchone() == (1,)


def test_reading_may_stop_midway(db: Backend) -> None:
    numbers = "WITH RECURSIVE n(id) AS (SELECT 1 UNION ALL SELECT id + 1 FROM n WHERE id < 150000) SELECT id FROM n"
    with evaluate(db.url, request(model(query=numbers))) as evaluation:
        assert next(evaluation.batches()).num_rows > 0
    with evaluate(db.url, request(model(query=numbers))) as evaluation:
        assert sum(batch.num_rows for batch in evaluation.batches()) == 150_000


def test_check_model_finds_nothing_wrong_and_sql_is_readable(db: Backend) -> None:
    db.create("fine", {"id": "integer"}, [])
    assert check_model(db.url, model("fine")) == []
    text = compile_sql(db.url, request(model("fine"), prop("id", "equals", 4242)))
    assert text.startswith("SELECT m.id AS entity_key")
    assert text.endswith("-- parameter 1: 4242")
