"""MySQL and MariaDB: which keys are the same, what columns of every type take, and that nothing is ever mangled."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal

import pyarrow as pa
import pytest

from zsync_pipelines.domain.capabilities import FieldType
from zsync_pipelines.domain.delivery import Op, Outcome
from zsync_pipelines.domain.keys import KeyType
from zsync_pipelines.errors import TargetMissingError
from zsync_pipelines_tests.support.deliveries import NO_FIELDS
from zsync_pipelines_tests.support.readers import read_mysql

pytestmark = pytest.mark.mysql

ALIKE = ["a", "A", "a ", "á", "a\u0301", "ｂ", "b", "ß", "ss", "\u00a0", ""]
"""Different keys, of which usual collations take some for equal."""

COLLATIONS = [
    "CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci",
    "CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci",
    "CHARACTER SET utf8mb4 COLLATE utf8mb4_bin",
    "CHARACTER SET latin1",
    "",  # the server's own
]


def refused(receipt):
    return {rejection.entity_key: rejection.reason for rejection in receipt.rejections()}


def limits(table):
    destination = table.connect()
    found = destination.fields(table.shape)
    destination.close()
    return found


def rows_of(keys):
    return {key: {"email": f"mail of {key}"} for key in keys}


def held(table):
    return {key: row["email"] for key, row in read_mysql(table.config["url"], table.name, table.payload).items()}


def test_a_table_that_is_made_tells_all_keys_apart(mysql_table):
    table = mysql_table
    table.key_type = KeyType.TEXT
    (receipt,) = table.run((Op.ADD, rows_of(ALIKE)))
    assert refused(receipt) == {}
    assert held(table) == {key: f"mail of {key}" for key in ALIKE}
    table.run((Op.REMOVE, {"A": {}, "a ": {}, "": {}}), (Op.UPDATE, {"á": {"email": "new"}}))
    assert held(table) == {**{key: f"mail of {key}" for key in ALIKE if key not in ("A", "a ", "")}, "á": "new"}
    made = table.sql("SHOW CREATE TABLE {t}")[0][1]
    assert "ENGINE=InnoDB" in made
    assert "_nopad_bin" in made or "_0900_bin" in made


@pytest.mark.parametrize("collation", COLLATIONS)
@pytest.mark.parametrize("op", [Op.ADD, Op.UPDATE])
def test_keys_that_a_collation_takes_for_one_are_never_merged(mysql_table, collation, op):
    table = mysql_table
    table.key_type = KeyType.TEXT
    table.sql(f"CREATE TABLE {{t}} (id VARCHAR(40) {collation} PRIMARY KEY, email VARCHAR(40)) ENGINE=InnoDB")
    keys = [key for key in ALIKE if "latin1" not in collation or len(key.encode("latin1", "ignore")) == len(key)]
    (receipt,) = table.run((op, rows_of(keys)))
    merged = refused(receipt)
    assert merged
    assert all("collation" in reason and "row's" in reason for reason in merged.values())
    taken = {key: f"mail of {key}" for key in keys if key not in merged}
    assert held(table) == taken
    # What was refused stays refused, changes nobody's row and removes nobody's.
    again = rows_of(merged)
    (receipt,) = table.run((op, again))
    assert set(refused(receipt)) == set(merged)
    table.run((Op.REMOVE, again))
    assert held(table) == taken
    (receipt,) = table.run((Op.UPDATE, {key: {"email": "new"} for key in keys}))
    assert set(refused(receipt)) == set(merged)
    assert held(table) == dict.fromkeys(taken, "new")


def test_a_strangers_row_whose_key_looks_alike_is_left_alone(mysql_table):
    table = mysql_table
    table.key_type = KeyType.TEXT
    table.config["adopt"] = True
    table.sql("CREATE TABLE {t} (id VARCHAR(40) COLLATE utf8mb4_general_ci PRIMARY KEY, email VARCHAR(40))")
    table.sql("INSERT INTO {t} VALUES ('Ann', 'theirs'), ('Bob', 'theirs')")
    (receipt,) = table.run((Op.ADD, rows_of(["ann", "Bob", "bob", "cid"])))
    assert set(refused(receipt)) == {"ann", "bob"}
    assert "utf8mb4_general_ci" in refused(receipt)["ann"]
    assert held(table) == {"Ann": "theirs", "Bob": "mail of Bob", "cid": "mail of cid"}
    table.run((Op.REMOVE, rows_of(["ann", "Bob", "bob", "cid"])))
    assert held(table) == {"Ann": "theirs", "Bob": "mail of Bob"}


def test_keys_that_end_in_spaces_are_not_cut_off(mysql_table):
    table = mysql_table
    table.key_type = KeyType.TEXT
    table.sql("CREATE TABLE {t} (id CHAR(3) PRIMARY KEY, email VARCHAR(40))")
    table.sql("INSERT INTO {t} VALUES ('abc', 'theirs'), ('x', 'theirs')")
    assert set(table.takes(rows_of(["x", "x ", "abc", "abc "]))) == {"x", "abc"}
    for op in Op:
        (receipt,) = table.run((op, rows_of(["x ", "abc ", "abcd"])))
        assert set(refused(receipt)) == {"x ", "abc ", "abcd"}
    assert held(table) == {"x": "theirs", "abc": "theirs"}


def test_long_keys_are_invalid_before_they_are_sent(mysql_table):
    table = mysql_table
    table.key_type = KeyType.TEXT
    rows = rows_of(["é" * 640, "é" * 641])
    assert set(table.takes(rows)) == {"é" * 640}
    table.config["adopt"] = True
    table.run((Op.ADD, table.takes(rows)))
    assert set(table.takes(rows)) == {"é" * 640}
    table.sql("UPDATE {t} SET email = 'x'")
    stranger = {"é" * 640: {"email": "adopted"}}
    table.sync_id = "another"
    table.run((Op.ADD, stranger))  # and the longest key fits into the table of adopted ones
    assert table.sql("SELECT CHAR_LENGTH(entity_key) FROM zsync_adopted") == [(640,)]


def test_a_key_of_zero_where_the_server_counts(mysql_table):
    table = mysql_table
    table.sql("CREATE TABLE {t} (id BIGINT AUTO_INCREMENT PRIMARY KEY, email VARCHAR(40))")
    table.run((Op.ADD, {"0": {"email": "zero"}, "-5": {"email": "less"}, "7": {"email": "seven"}}))
    assert table.held() == [(-5, "less"), (0, "zero"), (7, "seven")]


def test_text_goes_as_it_is_whatever_the_server_takes_for_an_escape(mysql_table):
    table = mysql_table
    texts = ["\\", "\\'", "a\\'; DROP TABLE x; --", "'", "''", '"', "`", "%s %(a)s %", "\x00", "\x1a", "\\0", "é😀\\"]
    rows = {str(number): {"email": text} for number, text in enumerate(texts)}
    table.run((Op.ADD, rows), (Op.UPDATE, rows))
    assert [email for _, email in table.held()] == texts
    # Even where the server's mode says that a backslash is nothing special, in the middle of a run.
    destination = table.open()
    destination._db.execute("SET SESSION sql_mode = CONCAT(@@sql_mode, ',NO_BACKSLASH_ESCAPES')")
    destination.send(table.batch(Op.UPDATE, rows))
    destination.close()
    assert [email for _, email in table.held()] == texts


TYPES = [
    # column type, payload type, taken, not taken
    ("TINYINT UNSIGNED", pa.int64(), [0, 255, None], [-1, 256]),
    ("MEDIUMINT", pa.int64(), [-(2**23), 2**23 - 1], [2**23]),
    ("INT UNSIGNED", pa.int64(), [0, 2**32 - 1], [2**32, -1]),
    ("BIGINT UNSIGNED", pa.int64(), [0, 2**63 - 1], [-1]),
    ("YEAR", pa.int64(), [1901, 2155], [0, 24, 1900, 2156]),
    ("TINYINT(1)", pa.bool_(), [True, False, None], []),
    ("TINYINT(1)", pa.int64(), [0, 1, 127], [128]),
    ("DECIMAL(5, 2)", pa.decimal128(10, 2), [Decimal("-999.99")], [Decimal("1000.00")]),
    ("DECIMAL(5, 2) UNSIGNED", pa.decimal128(10, 2), [Decimal("0.00")], [Decimal("-0.01")]),
    ("FLOAT", pa.float64(), [0.5, -1e38], [1e39, float("nan"), float("inf")]),
    ("DOUBLE", pa.float64(), [1e300, 5e-324, -0.1], [float("nan"), float("inf"), float("-inf")]),
    ("DOUBLE", pa.int64(), [2**53, -(2**53)], [2**53 + 1]),
    ("DOUBLE", pa.decimal128(38, 5), [Decimal("9999999999.99999")], [Decimal("10000000000.00001")]),
    ("DATE", pa.date32(), [date(1, 1, 1), date(9999, 12, 31), None], []),
    ("DATETIME(6)", pa.timestamp("us"), [datetime(1, 1, 1), datetime(9999, 12, 31, 23, 59, 59, 999_999)], []),
    ("TIMESTAMP NULL", pa.timestamp("us"), [datetime(1970, 1, 1, 0, 0, 1), None], [datetime(1970, 1, 1)]),
    ("VARCHAR(3)", pa.string(), ["ééé", "a  ", ""], ["éééé", "a   "]),
    ("CHAR(3)", pa.string(), ["ééé", " a"], ["a ", "abcd"]),
    ("TINYTEXT CHARACTER SET utf8mb4", pa.string(), ["é" * 127, "x" * 255], ["é" * 128, "x" * 255 + " "]),
    ("TINYTEXT CHARACTER SET latin1", pa.string(), ["é" * 255], ["é" * 256]),
    ("ENUM('a', 'it''s', '3')", pa.string(), ["a", "it's", "3", None], ["A", "1", "", "b"]),
    ("VARBINARY(4)", pa.string(), ["éé", "a  "], ["ééa"]),
]


@pytest.mark.parametrize(("column", "kind", "taken", "not_taken"), TYPES)
def test_existing_columns_take_what_they_hold_as_it_is(mysql_table, column, kind, taken, not_taken):
    table = mysql_table
    table.payload = pa.schema([("x", kind)])
    table.sql(f"CREATE TABLE {{t}} (id BIGINT PRIMARY KEY, x {column})")
    rows = {str(number): {"x": value} for number, value in enumerate([*taken, *not_taken])}
    found = table.takes(rows)
    assert [row["x"] for row in found.values()] == taken
    table.run((Op.ADD, found), (Op.UPDATE, found))
    back = [value.decode() if isinstance(value, bytes) else value for _, value in table.held("id, x")]
    assert back == [float(value) if column == "DOUBLE" else value for value in taken]


def test_bits_are_numbers(mysql_table):
    table = mysql_table
    table.payload = pa.schema([("yes", pa.bool_()), ("four", pa.int64())])
    table.sql("CREATE TABLE {t} (id BIGINT PRIMARY KEY, yes BIT(1), four BIT(4))")
    rows = {"1": {"yes": True, "four": 0}, "2": {"yes": False, "four": 15}, "3": {"yes": None, "four": None}}
    assert set(table.takes({**rows, "4": {"yes": True, "four": 16}, "5": {"yes": True, "four": -1}})) == set(rows)
    table.run((Op.ADD, rows), (Op.UPDATE, rows))
    assert table.held("id, yes + 0, four + 0") == [(1, 1, 0), (2, 0, 15), (3, None, None)]


def test_what_slips_through_is_refused_and_never_mangled(mysql_table):
    """As if nobody had looked: strict mode says no."""
    table = mysql_table
    table.payload = pa.schema([("d", pa.date32()), ("f", pa.float64()), ("n", pa.int64()), ("t", pa.string())])
    table.sql("CREATE TABLE {t} (id BIGINT PRIMARY KEY, d DATE, f DOUBLE, n SMALLINT, t VARCHAR(3))")
    destination = table.open()
    nothing = dict.fromkeys(table.payload.names)
    for wrong in ({"f": float("nan")}, {"f": float("inf")}, {"n": 40_000}, {"t": "abcd"}):
        for op in (Op.ADD, Op.UPDATE):
            receipt = destination.send(table.batch(op, {"1": {**nothing, **wrong}}))
            assert (receipt.rest, receipt.permanent) == (Outcome.REJECTED, True), wrong
            assert f"column '{next(iter(wrong))}'" in receipt.reason
    destination.close()
    assert table.held("id") == []


def test_timestamps_with_a_zone_are_kept_in_utc(mysql_table):
    table = mysql_table
    table.sql("SET GLOBAL time_zone = '+05:00'")
    try:
        table.payload = pa.schema([("a", pa.timestamp("us", "UTC")), ("b", pa.timestamp("us", "UTC"))])
        table.sql("CREATE TABLE {t} (id BIGINT PRIMARY KEY, a DATETIME(6), b TIMESTAMP(6) NULL)")
        moment = datetime(2024, 2, 29, 12, 0, 0, 123_456, UTC)
        table.run((Op.ADD, {"1": {"a": moment, "b": moment}}))
    finally:
        table.sql("SET GLOBAL time_zone = SYSTEM")
    naive = moment.replace(tzinfo=None)
    assert table.held("id, a, b") == [(1, naive, naive)]


def test_decimals_of_more_digits_than_mysql_has_become_text(mysql_table):
    table = mysql_table
    table.payload = pa.schema([("x", pa.decimal128(38, 30)), ("y", pa.decimal128(38, 31))])
    rows = {"1": {"x": Decimal("-12345678." + "1" * 30), "y": Decimal("1234567." + "1" * 31)}}
    table.run((Op.ADD, rows))
    assert read_mysql(table.config["url"], table.name, table.payload) == rows
    types = dict(table.sql("SELECT column_name, data_type FROM information_schema.columns WHERE table_name = '{t}'"))
    assert (types["x"], types["y"]) == ("decimal", "longtext")


def test_an_uuid_column_of_mariadb_holds_keys(mysql_table):
    table = mysql_table
    if "MariaDB" not in table.sql("SELECT VERSION()")[0][0]:
        pytest.skip("MySQL has no UUID type")
    table.key_type = KeyType.UUID
    table.sql("CREATE TABLE {t} (id UUID PRIMARY KEY, email VARCHAR(40))")
    one = "0e37df36-f698-11e6-8dd4-cb9ced3df976"
    table.run((Op.ADD, rows_of([one])), (Op.UPDATE, {one: {"email": "new"}}))
    assert held(table) == {one: "new"}
    table.run((Op.REMOVE, rows_of([one])))
    assert held(table) == {}


def test_names_that_need_quotes(mysql_table):
    table = mysql_table
    table.config |= {"table": "con `tacts` %s :x ?", "key_column": "the `key` %d ?1 \\"}
    names = ["a b", "`", '"', "'", "%s", ":x", "?", "größe", "s", "t", "k", "c0", "entity_key", "n" * 64, "\\"]
    table.payload = pa.schema([(name, pa.string()) for name in names])
    table.run((Op.ADD, {"1": dict(zip(names, names, strict=True))}))
    table.run((Op.UPDATE, {"1": dict.fromkeys(names, "new"), "2": dict.fromkeys(names, "other")}))
    (receipt,) = table.run((Op.ADD, {"1": dict.fromkeys(names, "again"), "3": dict.fromkeys(names)}))
    assert refused(receipt) == {"1": "row exists"}
    found = table.sql("SELECT * FROM `con ``tacts`` %s :x ?` ORDER BY 1")
    assert found == [(1, *["new"] * len(names)), (2, *["other"] * len(names)), (3, *[None] * len(names))]
    table.run((Op.REMOVE, {"1": {}, "2": {}, "3": {}}))
    assert table.sql("SELECT * FROM `con ``tacts`` %s :x ?`") == []


@pytest.mark.parametrize(
    ("name", "why"), [("n" * 65, "64 characters"), ("ends ", "end in a space"), ("😀", "emoji"), ("a\x00b", "U+0000")]
)
def test_names_that_mysql_does_not_take(mysql_table, name, why):
    table = mysql_table
    table.payload = pa.schema([(name, pa.string())])
    with pytest.raises(TargetMissingError, match=why.replace("+", r"\+")):
        limits(table)
    table.payload = NO_FIELDS
    table.config["table"] = name
    with pytest.raises(TargetMissingError, match=why.replace("+", r"\+")):
        table.open()


def test_what_columns_say_of_themselves(mysql_table):
    table = mysql_table
    table.payload = pa.schema([("b", pa.bool_())])
    table.sql(
        "CREATE TABLE {t} (id BIGINT PRIMARY KEY, b BOOLEAN, e ENUM('x') NOT NULL, d VARCHAR(9) NOT NULL DEFAULT '', "
        "u TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP ON UPDATE CURRENT_TIMESTAMP)"
    )
    assert limits(table).fields["b"].types == {FieldType.BOOLEAN, FieldType.INTEGER}
    table.run((Op.ADD, {"1": {"b": True}}))
    table.sql("ALTER TABLE {t} ADD must INT NOT NULL")
    with pytest.raises(TargetMissingError, match="'must'"):
        limits(table)
