"""What only MySQL and MariaDB have: collations, types, modes of the server, and how a connection is made."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import pyarrow as pa
import pymysql
import pytest
import sqlalchemy as sa

from zsync_pipelines.errors import ConfigError, SourceError
from zsync_pipelines.sources.evaluate import evaluate
from zsync_pipelines_tests.sources.asking import check_model, event, group, members, model, prop, request, table, values
from zsync_pipelines_tests.sources.backends import Backend

pytestmark = [pytest.mark.mysql, pytest.mark.parametrize("db", ["mysql"], indirect=True)]
ALIKE = ["ab", "AB", "ab ", "äb", "a\u0308b"]
"""Equal to most collations, and different texts."""

EVENTS = {"visits": {"table": "looks", "foreign_key": "fk", "timestamp": "at"}}


class TestText:
    """Texts count by case, accent and trailing blank, also where the columns' collation ignores them."""

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def rows(cls, db: Backend) -> None:
        db.create("alike", {"id": "text", "s": "text"}, [(text, text) for text in ALIKE])
        looks = [(text, text, date(2024, 3, 1)) for text in ALIKE] + [("AB", "ab", date(2024, 3, 2))]
        db.create("looks", {"fk": "text", "s": "text", "at": "date"}, looks)

    @pytest.mark.parametrize("text", ALIKE)
    def test_in_conditions(self, db: Backend, text: str) -> None:
        others = set(ALIKE) - {text}
        assert set(values(db.url, model("alike"), "s", filter_tree=prop("s", "equals", text))) == {text}
        assert set(values(db.url, model("alike"), "s", filter_tree=prop("s", "in", [text, "x"]))) == {text}
        assert set(values(db.url, model("alike"), "s", filter_tree=prop("s", "not_equals", text))) == others
        assert set(values(db.url, model("alike"), "s", filter_tree=prop("s", "not_in", [text]))) == others

    def test_in_parts(self, db: Backend) -> None:
        assert set(values(db.url, model("alike"), "s", filter_tree=prop("s", "ends_with", " "))) == {"ab "}
        assert set(values(db.url, model("alike"), "s", filter_tree=prop("s", "starts_with", "A"))) == {"AB"}

    def test_in_joins_and_groups(self, db: Backend) -> None:
        traits = {
            "n": {"event": "visits", "aggregate": "count"},
            "kinds": {"event": "visits", "aggregate": "count_distinct", "column": "s"},
            "least": {"event": "visits", "aggregate": "min", "column": "s"},
            "last": {"event": "visits", "aggregate": "last", "column": "s"},
        }
        found = values(db.url, model("alike", events=EVENTS, traits=traits), "n", "kinds", "least", "last")
        assert found == {**{text: (1, 1, text, text) for text in ALIKE}, "AB": (2, 2, "AB", "ab")}
        assert set(values(db.url, model("alike", events=EVENTS), "s", filter_tree=event("visits", "at_least", 2))) == {
            "AB"
        }

    def test_other_character_sets_enums_and_sets(self, db: Backend) -> None:
        kinds = {"l": "VARCHAR(9) CHARACTER SET latin1", "e": "ENUM('a', 'B ')", "t": "SET('x', 'y')", "c": "CHAR(5)"}
        db.create("kinds", {"id": "integer", **kinds}, [(1, "é", "a", "x,y", "ab"), (2, "E", "B ", "", "AB")])
        kinds_model = model("kinds")
        assert values(db.url, kinds_model, *kinds) == {"1": ("é", "a", "x,y", "ab"), "2": ("E", "B", "", "AB")}
        assert members(db.url, kinds_model, prop("l", "equals", "é")) == "1"
        assert members(db.url, kinds_model, prop("l", "not_equals", "😀")) == "1 2"
        assert members(db.url, kinds_model, prop("e", "in", ["A", "B"])) == "2"
        assert members(db.url, kinds_model, prop("t", "contains", "y")) == "1"
        assert members(db.url, kinds_model, prop("c", "ends_with", "b")) == "1"


class TestTypes:
    """Types that other databases lack, and values that would silently become others."""

    def test_numbers(self, db: Backend) -> None:
        kinds = {"b": "BIGINT UNSIGNED", "y": "YEAR", "f": "FLOAT", "t": "TINYINT", "d": "DECIMAL(38,10)"}
        digits = Decimal("1234567890123456789012345678.0123456789")
        db.create("numbers", {"id": "integer", **kinds}, [(1, 2**64 - 1, 2024, 2**24, -7, digits), (2, *[None] * 5)])
        answer = table(db.url, request(model("numbers"), columns=[*kinds])).sort_by("entity_key")
        assert answer.schema.types[1:] == [
            *(pa.decimal128(38, 0), pa.int64(), pa.float64(), pa.int64(), pa.decimal128(38, 10))
        ]
        assert answer.to_pylist()[0] == {
            "entity_key": "1",
            "c:b": Decimal(2**64 - 1),
            "c:y": 2024,
            "c:f": 2.0**24,
            "c:t": -7,
            "c:d": digits,
        }
        assert members(db.url, model("numbers"), prop("b", "equals", 2**64 - 1)) == "1"
        assert members(db.url, model("numbers"), prop("f", "equals", 2**24)) == "1"

    def test_a_tinyint_of_one_digit_is_a_boolean(self, db: Backend) -> None:
        db.create("truths", {"id": "integer", "b": "TINYINT(1)"}, [(1, 0), (2, 1), (3, -2), (4, None)])
        assert values(db.url, model("truths"), "b") == {"1": False, "2": True, "3": True, "4": None}
        assert members(db.url, model("truths"), prop("b", "is_true")) == "2 3"
        assert members(db.url, model("truths"), prop("b", "not_equals", True)) == "1"

    def test_uuids(self, db: Backend) -> None:
        if "uuids" in db.lacks:
            pytest.skip("MySQL has no UUID type")
        key = UUID(int=0xAB << 8)
        db.create("ids", {"id": "uuid", "u": "uuid"}, [(key, key)])
        db.create("id_looks", {"fk": "uuid", "at": "date"}, [(key, date(2024, 1, 1))])
        seen = model("ids", events={"visits": {"table": "id_looks", "foreign_key": "fk", "timestamp": "at"}})
        tree = group("and", event("visits", "exactly", 1), prop("u", "equals", str(key).upper()))
        assert members(db.url, seen, tree) == str(key)

    @pytest.mark.parametrize("kind", ["BLOB", "VARBINARY(9)", "BIT(3)", "TIME", "GEOMETRY"])
    def test_what_cannot_be_a_field(self, db: Backend, kind: str) -> None:
        name = f"odd_{kind[:4].lower()}"
        db.create(name, {"id": "integer", "v": kind}, [(1, None)])
        assert members(db.url, model(name), prop("v", "is_null")) == "1"
        with pytest.raises(ConfigError, match="cannot be a field"):
            table(db.url, request(model(name), columns=["v"]))

    def test_a_date_of_zeros_is_no_field_and_is_earlier_than_every_date(self, db: Backend) -> None:
        db.run("CREATE TABLE zeros (id INT, d DATE, t DATETIME)")
        with _server(db) as cursor:
            cursor.execute("SET sql_mode = ''")
            cursor.execute("INSERT INTO zeros VALUES (1, '0000-00-00', '0000-00-00'), (2, '2024-01-01', '2024-01-01')")
        for column in "dt":
            assert members(db.url, model("zeros"), prop(column, "less_than", "1000-01-01")) == "1"
            assert members(db.url, model("zeros"), prop(column, "within_last_days", 100)) == "2"
            with pytest.raises(SourceError, match=f"column '{column}' holds a value that is no ") as caught:
                table(db.url, request(model("zeros"), columns=[column]))
            assert "0000" not in str(caught.value)

    def test_more_digits_than_a_decimal_has_are_an_error(self, db: Backend) -> None:
        db.create("wide", {"id": "integer", "w": "DECIMAL(65,2)"}, [(1, Decimal("9" * 50 + ".01"))])
        with pytest.raises(SourceError, match="column 'w' holds a value that is no decimal") as caught:
            table(db.url, request(model("wide"), columns=["w"]))
        assert "999" not in str(caught.value)

    def test_a_sum_beyond_64_bits_is_an_error(self, db: Backend) -> None:
        db.create("people", {"id": "integer"}, [(1,)])
        big = [(1, date(2024, 1, 1), 2**62)] * 2
        db.create("big", {"fk": "integer", "at": "date", "n": "integer"}, big)
        trait = {"t": {"event": "visits", "aggregate": "sum", "column": "n"}}
        of = model(events={"visits": {**EVENTS["visits"], "table": "big"}}, traits=trait)
        assert members(db.url, of, prop("t", "equals", 2**63)) == "1"
        with pytest.raises(SourceError, match="column 't' holds a value that is no int64"):
            table(db.url, request(of, columns=["t"]))

    def test_floats_round_half_away_from_zero_by_the_digits_that_they_show(self, db: Backend) -> None:
        floats = {1: 2.5, 2: -2.5, 3: 0.5, 4: 1e300, 5: 1e-20, 6: 1e16}
        db.create(
            "halves",
            {"fk": "integer", "at": "date", "f": "float"},
            [(n, date(2024, 1, 1), f) for n, f in floats.items()],
        )
        trait = {"t": {"event": "visits", "aggregate": "max", "column": "f", "decimals": 0}}
        of = model("halves", key="fk", events={"visits": {**EVENTS["visits"], "table": "halves"}}, traits=trait)
        everybody = group("or", prop("fk", "is_not_null"))
        expected = {"1": 3.0, "2": -3.0, "3": 1.0, "4": 1e300, "5": 0.0, "6": 1e16}
        assert values(db.url, of, "t", filter_tree=everybody) == expected


class TestConnection:
    """The session, the driver and their errors."""

    def test_the_servers_settings_change_no_answer(self, db: Backend) -> None:
        db.create("modes", {"id": "integer", "c": "CHAR(5)"}, [(1, "a\\b"), (2, "c"), (3, "d")])
        changed = {
            "sql_mode": "'ANSI_QUOTES,NO_BACKSLASH_ESCAPES,PAD_CHAR_TO_FULL_LENGTH,HIGH_NOT_PRECEDENCE'",
            "sql_select_limit": "1",
            "time_zone": "'+05:00'",
        }
        with _server(db) as cursor:
            for name, value in changed.items():
                cursor.execute(f"SET GLOBAL {name} = {value}")
            try:
                query = "SELECT id, c, \"x\" AS x, TIMESTAMP'2024-01-01 00:00:00' AS t FROM modes"
                assert values(db.url, model(query=query), "c", "x")["1"] == ("a\\b", "x")
                assert members(db.url, model("modes"), prop("c", "contains", "\\")) == "1"
                assert members(db.url, model("modes"), prop("c", "not_in", ["' OR 1 -- ", "c"])) == "1 3"
            finally:
                for name in changed:
                    cursor.execute(f"SET GLOBAL {name} = DEFAULT")

    def test_rows_come_in_batches_of_one_transaction(self, db: Backend) -> None:
        numbers = "WITH RECURSIVE n(id) AS (SELECT 1 UNION ALL SELECT id + 1 FROM n WHERE id < 250000) SELECT id FROM n"
        with _server(db) as cursor:
            limit = "cte_max_recursion_depth" if "uuids" in db.lacks else "max_recursive_iterations"
            cursor.execute(f"SET {limit} = 1000000")
            cursor.execute(f"CREATE TABLE many ENGINE=InnoDB {numbers}")
        with evaluate(db.url, request(model("many"))) as evaluation:
            db.run("DELETE FROM many WHERE id > 5")
            sizes = [batch.num_rows for batch in evaluation.batches()]
        assert sizes == [100_000, 100_000, 50_000]
        assert members(db.url, model("many"), prop("id", "is_not_null")) == "1 2 3 4 5"

    @pytest.mark.parametrize("query", ["SELECT 1 AS id; DROP TABLE kept", "SELECT 1 AS id) AS m; DROP TABLE kept; -- "])
    def test_a_query_is_one_statement(self, db: Backend, query: str) -> None:
        db.run("CREATE TABLE IF NOT EXISTS kept (id INT)")
        with pytest.raises(SourceError, match="You have an error in your SQL syntax"):
            table(db.url, request(model(query=query)))
        assert check_model(db.url, model("kept")) == []

    def test_nothing_can_be_written(self, db: Backend) -> None:
        db.run("CREATE TABLE written (id INT)")
        body = "BEGIN INSERT INTO written VALUES (1); RETURN 1; END"
        db.run(f"CREATE FUNCTION write_one() RETURNS INT MODIFIES SQL DATA {body}")
        with pytest.raises(SourceError, match="READ ONLY transaction"):
            table(db.url, request(model(query="SELECT write_one() AS id")))

    def test_a_caller_may_be_inside_a_loop_of_its_own(self, db: Backend) -> None:
        db.run("CREATE TABLE inside (id INT)")

        async def check() -> list[Any]:
            return check_model(db.url, model("inside"))

        assert asyncio.run(check()) == []

    def test_an_error_holds_no_value(self, db: Backend) -> None:
        db.create("most", {"id": "integer", "n": "BIGINT UNSIGNED"}, [(1, 2**64 - 1)])
        query = "SELECT id, n + 31337 AS v FROM most"
        with pytest.raises(SourceError, match="error 1690") as caught:
            table(db.url, request(model(query=query), columns=["v"]))
        assert "31337" not in str(caught.value)

    @pytest.mark.parametrize("options", ["", "?ssl_verify_identity=false", "?connect_timeout=3&charset=latin1"])
    def test_encryption_is_preferred(self, db: Backend, options: str) -> None:
        db.run("CREATE TABLE IF NOT EXISTS plain (id INT)")
        url = db.url.partition("?")[0] + options
        if "verify" in options and not _has_tls(db):
            with pytest.raises(SourceError, match="cannot be opened"):
                check_model(url, model("plain"))
        else:
            assert check_model(url, model("plain")) == []
        assert check_model(url.replace("mysql+pymysql:", "mariadb:").partition("?")[0], model("plain")) == []

    @pytest.mark.parametrize(
        ("change", "text"),
        [
            ({"username": "nobody"}, "Access denied"),
            ({"database": "nowhere"}, "Unknown database 'nowhere'"),
            ({"port": 1}, "Can't connect"),
            ({"query": {"ssl_mode": "x"}}, "unknown option 'ssl_mode'; known: "),
            ({"query": {"ssl_disabled": "maybe"}}, "the value of option 'ssl_disabled' cannot be read"),
            ({"query": {"ssl_ca": "/nowhere.pem"}}, "cannot be opened: "),
        ],
    )
    def test_why_a_source_cannot_be_opened(self, db: Backend, change: dict[str, Any], text: str) -> None:
        url = sa.make_url(db.url).set(password="p@ss w/rd+%" if "username" in change else "tests", **change)
        with pytest.raises(SourceError, match=text) as caught:
            evaluate(url.render_as_string(hide_password=False), request(model()))
        assert "p@ss" not in str(caught.value)


def test_moments_of_the_session_are_utc(db: Backend) -> None:
    at = datetime(2024, 1, 1, 12, tzinfo=UTC)
    db.create("moments", {"id": "integer", "t": "zoned"}, [(1, at)])
    assert values(db.url, model("moments"), "t") == {"1": at}
    assert members(db.url, model("moments"), prop("t", "equals", "2024-01-01T13:00:00+01:00")) == "1"


@contextmanager
def _server(db: Backend) -> Iterator[pymysql.cursors.Cursor]:
    url = sa.make_url(db.url)
    place = {"host": url.host, "port": url.port or 0, "user": url.username, "password": str(url.password)}
    with pymysql.connect(**place, database=url.database, autocommit=True) as server, server.cursor() as cursor:  # type: ignore[arg-type]
        yield cursor


def _has_tls(db: Backend) -> bool:
    with _server(db) as cursor:
        cursor.execute("SHOW STATUS LIKE 'Ssl_cipher'")
        ((_, cipher),) = cursor.fetchall()
    return bool(cipher)
