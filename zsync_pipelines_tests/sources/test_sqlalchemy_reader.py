"""The general reader on a real server: PostgreSQL by way of psycopg, described as Redshift is; and SQLite."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa
import pytest
import sqlalchemy as sa

from zsync_pipelines.errors import SourceError
from zsync_pipelines.sources import reader, sqlalchemy_reader
from zsync_pipelines.sources.dialects import redshift
from zsync_pipelines.sources.dialects.database import Database
from zsync_pipelines.sources.evaluate import evaluate
from zsync_pipelines.sources.reader import connect
from zsync_pipelines.sources.sqlalchemy_reader import SQLAlchemyReader
from zsync_pipelines.sources.statement import Statement
from zsync_pipelines.sources.types import Family
from zsync_pipelines_tests.sources.asking import event, group, members, model, prop, request, table, values
from zsync_pipelines_tests.sources.backends import Backend, backend
from zsync_pipelines_tests.sources.offline import dialect_of

COLUMNS = {
    "id": "integer", "small": "small", "d": "decimal", "f": "float", "s": "text", "b": "boolean", "da": "date",
    "na": "naive", "zo": "zoned",
}  # fmt: skip
NOON = datetime(2024, 3, 10, 12, 0, 0, 123456)
ROWS = [
    (1, 2, Decimal("9.99"), 0.5, "a%b", True, date(2024, 3, 10), NOON, NOON.replace(tzinfo=UTC)),
    (2, None, None, float("nan"), "", False, None, None, None),
    (3, -2, Decimal("-1.50"), None, None, None, date(1, 1, 1), datetime(1, 1, 1), None),
]


@pytest.fixture(scope="module")
def db(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backend]:

    class Reader(SQLAlchemyReader):
        database: ClassVar[Database] = replace(
            redshift.DATABASE, dialect_class="sqlalchemy.dialects.postgresql.psycopg:dialect", driver="psycopg"
        )

    for made in backend("postgresql", tmp_path_factory.mktemp("general"), request):
        made.create("people", COLUMNS, ROWS)
        made.create("visits", {"fk": "integer", "at": "zoned"}, [(1, NOON.replace(tzinfo=UTC)), (1, None), (2, None)])
        with pytest.MonkeyPatch.context() as patch:
            patch.setitem(reader._READERS, "postgresql", lambda: Reader)
            yield made


@pytest.mark.postgres
class TestOnPostgreSQL:
    def test_every_family_arrives_in_its_arrow_type(self, db: Backend) -> None:
        answer = table(db.url, request(model(), columns=tuple(COLUMNS)))
        assert answer.schema.types[1:] == [
            pa.int64(), pa.int64(), pa.decimal128(38, 2), pa.float64(), pa.string(), pa.bool_(), pa.date32(),
            pa.timestamp("us"), pa.timestamp("us", tz="UTC"),
        ]  # fmt: skip
        found = {row["entity_key"]: tuple(row.values())[2:] for row in answer.to_pylist()}
        assert found["1"] == ROWS[0][1:]
        assert found["3"] == ROWS[2][1:]
        assert found["2"][2] != found["2"][2]

    def test_conditions_and_traits(self, db: Backend) -> None:
        visited = model(
            events={"visits": {"table": "visits", "foreign_key": "fk", "timestamp": "at"}},
            traits={"n": {"event": "visits", "aggregate": "count"}},
        )
        tree = group("or", event("visits", "at_least", 1, within_days=1), prop("s", "contains", "%_"))
        assert members(db.url, visited, tree) == ""
        later = datetime(2024, 3, 11, tzinfo=UTC)
        assert members(db.url, visited, tree, as_of=later) == "1"
        assert values(db.url, visited, "n", as_of=later) == {"1": 1, "2": 0, "3": 0}

    def test_percent_signs_of_a_query_stay(self, db: Backend) -> None:
        assert values(db.url, model(query="SELECT id, '%s %%' AS c FROM people WHERE s LIKE 'a%'"), "c") == {
            "1": "%s %%"
        }

    def test_rows_come_in_batches(self, db: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sqlalchemy_reader, "BATCH_ROWS", 2)
        with evaluate(db.url, request(model())) as evaluation:
            assert [batch.num_rows for batch in evaluation.batches()] == [2, 1]

    def test_nothing_can_be_written(self, db: Backend) -> None:
        opened = connect(db.url)
        with pytest.raises(sa.exc.DBAPIError, match="read-only"):
            opened.scalar(Statement("INSERT INTO people (id) VALUES (9) RETURNING id"))
        opened.close()

    def test_a_missing_table_is_an_error(self, db: Backend) -> None:
        with pytest.raises(SourceError, match=r"table 'nowhere' of model 'people' cannot be read: .*nowhere"):
            table(db.url, request(model("nowhere")))

    def test_a_wrong_password_is_not_shown(self, db: Backend) -> None:
        url = sa.make_url(db.url).set(username="nobody", password="hunter2-secret")
        with pytest.raises(SourceError, match="cannot be opened") as caught:
            connect(url.render_as_string(hide_password=False))
        assert "hunter2" not in str(caught.value)


def test_integers_beyond_64_bits_are_decimals(tmp_path: Path) -> None:
    file = tmp_path / "big.db"
    with sqlite3.connect(file) as connection:
        connection.execute("CREATE TABLE t (id INTEGER)")
        connection.executemany("INSERT INTO t VALUES (?)", [(2**62,), (None,)])
    connection.close()

    class Reader(SQLAlchemyReader):
        database: ClassVar[Database] = Database(
            name="sqlite",
            dialect_class="sqlalchemy.dialects.sqlite.pysqlite:dialect",
            paramstyle="qmark",
            families={},
        )

    opened = Reader(sa.make_url(f"sqlite:///{file}"))
    (batch,) = opened.batches(Statement("SELECT id FROM t WHERE id > ? OR id IS NULL ORDER BY id DESC", (1,)))
    opened.close()
    assert batch.column(0).to_pylist() == [2**62, None]
    assert sqlalchemy_reader._array([2**70, None]).to_pylist() == [Decimal(2**70), None]


@pytest.mark.parametrize(
    ("native", "scale", "family", "found"),
    [
        ("decimal(10,2)", None, Family.DECIMAL, 2),
        ("Decimal(10, 4)", 0, Family.DECIMAL, 4),
        ("decimal(10)", 7, Family.DECIMAL, 0),
        ("decimal", 3, Family.DECIMAL, 3),
        ("timestamp(3) with time zone", None, Family.ZONED, None),
        ("TIMESTAMP(6)", None, Family.NAIVE, None),
        ("varchar(200)", None, Family.TEXT, None),
        ("array(varchar(3))", None, Family.OTHER, None),
        ("row(a integer)", None, Family.OTHER, None),
    ],
)
def test_types_are_told_by_their_names(native: str, scale: int | None, family: Family, found: int | None) -> None:
    trino = Database(
        name="any",
        dialect_class="",
        paramstyle="qmark",
        families={
            "decimal": Family.DECIMAL,
            "timestamp": Family.NAIVE,
            "timestamp with time zone": Family.ZONED,
            "varchar": Family.TEXT,
        },
    )
    told = trino.column_type(native, scale)
    assert (told.family, told.scale) == (family, found)


def test_values_that_go_as_text_keep_all_their_digits() -> None:
    all_as_text = Database(
        name="any", dialect_class="", paramstyle="qmark", families={}, sent_as_text=(Decimal, date, datetime)
    )
    given: list[Any] = [Decimal("1E-7"), date(2024, 3, 1), datetime(2024, 3, 1, tzinfo=UTC), NOON, True, 5, "x"]
    assert [all_as_text.bound(value) for value in given] == [
        "0.0000001", "2024-03-01", "2024-03-01T00:00:00.000000+00:00", "2024-03-10T12:00:00.123456", True, 5, "x",
    ]  # fmt: skip


@pytest.mark.parametrize("name", reader.MODULES)
def test_each_database_has_a_reader(name: str) -> None:
    dialect_of(name)
    made = sqlalchemy_reader.reader_of(name)
    assert made.database.name == made.database.dialect().name == name
    assert all(issubclass(error, Exception) for error in made.errors)


@pytest.mark.parametrize("backend_name", ["snowflake", "databricks", "clickhousedb"])
def test_a_missing_extra_is_named(backend_name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(_: str) -> Any:
        raise ModuleNotFoundError("no", name="some_driver")

    monkeypatch.setattr(sqlalchemy_reader, "load", missing)
    extra = reader.MODULES[backend_name]
    with pytest.raises(SourceError, match=rf"pip install 'zsync-pipelines\[{extra}\]'"):
        connect(f"{backend_name}://user:pw@host/db")
