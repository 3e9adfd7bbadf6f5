"""Where values go when a PostgreSQL statement is read without parameters, and that they arrive as they were bound."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
import sqlalchemy as sa

from zsync_pipelines.sources.postgresql_literals import with_literals
from zsync_pipelines.sources.postgresql_reader import PostgreSQLReader
from zsync_pipelines.sources.statement import Statement

VALUES = (
    *("plain", "", "it's", "\\' OR 1=1 --", "$1 $$x$$ $2", "line\nbreak\t\r", 'x"y', "\u2019\uff07\u02bc\U0001f600"),
    *(0, -5, 2**63 - 1, 0.1 + 0.2, -1e-310, 1e300, float("inf"), True, False),
    *(date(1, 1, 1), date(9999, 12, 31), datetime(2024, 2, 29, 1, 2, 3, 456789)),
    *(datetime(2024, 2, 29, 1, 2, 3, 456789, tzinfo=UTC), Decimal("-12345678901234567890.120")),
)


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("SELECT $1::VARCHAR, f($2)", "SELECT A::VARCHAR, f(B)"),
        ("IN ($1::VARCHAR, $2::VARCHAR)", "IN (A::VARCHAR, B::VARCHAR)"),
        ("""SELECT "$1 ""$1", ' $1 '' $1 ' WHERE x = $1""", """SELECT "$1 ""$1", ' $1 '' $1 ' WHERE x = A"""),
        ("SELECT 1 -- ' $1\nWHERE a - $1 / $2", "SELECT 1 -- ' $1\nWHERE a - A / B"),
        ("SELECT /* ' $1 */ $1", "SELECT /* ' $1 */ A"),
    ],
)
def test_only_parameters_are_replaced(sql: str, expected: str) -> None:
    assert with_literals(sql, ["A", "B"]) == expected


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT E'\\' $1 '",  # an escape, or two
        "SELECT '\\' || $1",
        "SELECT $$ $1 $$",
        "SELECT $a$ $1 $a$",
        "SELECT /* /* */ $1 */ $1",
        "SELECT /* $1",
        "SELECT 'open $1",
        'SELECT "open $1',
        "SELECT a$1",  # a name
        "SELECT $1a",
        "SELECT $3",
        "SELECT $0",
    ],
)
def test_a_text_that_is_not_beyond_doubt_keeps_its_parameters(sql: str) -> None:
    assert with_literals(sql, ["A", "B"]) is None


@pytest.mark.postgres
class TestOnAServer:
    """Both ways of reading, on one server."""

    @pytest.fixture
    def reader(self, postgres_server: sa.URL) -> Any:
        reader = PostgreSQLReader(postgres_server)
        yield reader
        reader.close()

    @pytest.mark.parametrize("settings", ["", "-c standard_conforming_strings=off -c extra_float_digits=-5"])
    def test_values_arrive_as_they_were_bound(self, postgres_server: sa.URL, settings: str) -> None:
        """Also where the server reads backslashes as escapes, and shortens floats."""
        url = postgres_server.update_query_dict({"options": settings}) if settings else postgres_server
        columns = ", ".join(f"${number} AS c{number}" for number in range(1, len(VALUES) + 1))
        statement = Statement(f"SELECT {columns}", VALUES)
        reader = PostgreSQLReader(url)
        try:
            assert reader._without_parameters(statement) is not None
            (copied,) = reader.batches(statement)
            (fetched,) = reader._fetched(statement)
        finally:
            reader.close()
        assert copied.equals(fetched)
        assert copied.schema == fetched.schema
        found = copied.to_pylist()[0].values()
        assert [Decimal(a) if isinstance(b, Decimal) else a for a, b in zip(found, VALUES, strict=True)] == list(VALUES)

    def test_a_bound_null_stays_bound(self, reader: PostgreSQLReader) -> None:
        (batch,) = reader.batches(Statement("SELECT $1::text IS NULL AS a", (None,)))
        assert batch.to_pylist() == [{"a": True}]

    def test_a_statement_with_doubtful_text_is_read_with_its_parameters(self, reader: PostgreSQLReader) -> None:
        (batch,) = reader.batches(Statement("SELECT $1::text || $$ '$2' $$ AS a", ("x",)))
        assert batch.to_pylist() == [{"a": "x '$2' "}]

    @pytest.mark.parametrize(
        "sql",
        ["SELECT 1 / (n - 90000) FROM generate_series(1, 100000) n WHERE n < $1", "SELECT a FROM missing WHERE b = $1"],
    )
    def test_after_a_failure_the_next_question_is_answered_and_no_value_was_told(
        self, reader: PostgreSQLReader, sql: str
    ) -> None:
        with pytest.raises(reader.errors) as failure:
            list(reader.batches(Statement(sql, (987654321,))))
        assert "987654321" not in str(failure.value)
        assert reader.scalar(Statement("SELECT 1")) == 1

    def test_reading_may_stop_midway(self, reader: PostgreSQLReader) -> None:
        rows = reader.batches(Statement("SELECT repeat('x', $1::int) FROM generate_series(1, 100000) n", (100,)))
        assert 0 < next(rows).num_rows < 100_000
        rows.close()  # type: ignore[attr-defined]
        assert reader.scalar(Statement("SELECT current_setting('transaction_read_only')")) == "on"
        assert reader.scalar(Statement("SELECT current_setting('transaction_isolation')")) == "repeatable read"
