"""The statements that warehouses are sent, kept as files, and read by a parser of each dialect.

`ZSYNC_GOLDEN=write pytest ...` writes the files anew. The statements run: Redshift's on PostgreSQL, the others'
translated to DuckDB.
"""

from __future__ import annotations

import os
import re
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pytest
import sqlglot

from zsync_pipelines.domain.delivery import Op, Outcome

MARK = re.compile("\x00\\d+\x00")
FOLDER = Path(__file__).parents[1] / "golden" / "warehouses"
PAYLOAD = pa.schema(
    [
        ("email", pa.string()),
        ("spent", pa.decimal128(12, 2)),
        ("rate", pa.float64()),
        ("orders", pa.int64()),
        ("vip", pa.bool_()),
        ("born", pa.date32()),
        ("seen", pa.timestamp("us", "UTC")),
        ("local", pa.timestamp("us")),
    ]
)
ROW = {
    "email": "o'hara\\@x.org",
    "spent": Decimal("9.99"),
    "rate": 0.5,
    "orders": 3,
    "vip": True,
    "born": datetime(1999, 12, 31).date(),
    "seen": datetime(2024, 2, 29, 12, tzinfo=UTC),
    "local": None,
}
ONE, TWO = {"ann": ROW}, {"ann": {**ROW, "email": "new@x.org"}, "bob": dict.fromkeys(PAYLOAD.names)}


def asked(table, monkeypatch, steps):
    """The statements of each step, as text."""
    made, told = [], []
    if table.server:
        table.server.before = told.append
    else:
        from zsync_pipelines.destinations.sql.redshift import RedshiftBackend

        execute = RedshiftBackend.execute
        monkeypatch.setattr(
            RedshiftBackend, "execute", lambda self, sql, values=(): told.append(sql) or execute(self, sql, values)
        )
    for name, step in steps:
        told.clear()
        step()
        made.append(f"-- {name}\n\n" + "".join(MARK.sub("?", sql).strip() + ";\n" for sql in told if "pg_" not in sql))
    return "\n".join(made)


def is_as_kept(dialect, name, text):
    path = FOLDER / dialect / f"{name}.sql"
    if os.environ.get("ZSYNC_GOLDEN") == "write":
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    assert text == path.read_text()
    statements = [sql for sql in sqlglot.parse(text, read=dialect) if sql is not None]
    assert len(statements) == text.count(";\n")
    return statements


@pytest.fixture
def contacts(warehouse_table):
    """A table with text keys, of a name that is always the same."""
    from zsync_pipelines.domain.keys import KeyType

    warehouse_table.config["table"] = "contacts"
    warehouse_table.payload, warehouse_table.key_type = PAYLOAD, KeyType.TEXT
    return warehouse_table


def test_rows_that_removals_delete(contacts, monkeypatch):
    table, sent = contacts, {}

    def send(op, rows, adopt=False):
        def step():
            sent["destination"]._applier.adopt = adopt
            sent["receipt"] = sent["destination"].send(table.batch(op, rows))

        return step

    def open_it():
        sent["destination"] = table.open()

    steps = [
        ("the first run makes the tables", open_it),
        ("members are added", send(Op.ADD, ONE)),
        ("a row of a stranger's is met", send(Op.ADD, TWO)),
        ("a row of a stranger's is adopted", send(Op.ADD, ONE, adopt=True)),
        ("members are updated", send(Op.UPDATE, TWO)),
        ("members are removed, but for adopted rows", send(Op.REMOVE, TWO)),
    ]
    text = asked(table, monkeypatch, steps)
    assert sent["receipt"].count(Outcome.ACCEPTED) == 2
    sent["destination"].close()
    is_as_kept(table.backend, "delete", text)
    assert [key for (key,) in table.held('"id"')] == ["ann"]


def test_rows_that_removals_flag(contacts, monkeypatch):
    table = contacts
    table.config["on_remove"] = "flag"
    steps = [
        ("members are added", lambda: table.run((Op.ADD, TWO))),
        ("a member is removed", lambda: table.run((Op.REMOVE, ONE))),
    ]
    is_as_kept(table.backend, "flag", asked(table, monkeypatch, steps))
    assert [(key, bool(flag)) for key, flag in table.held('"id", "is_member"')] == [("ann", False), ("bob", True)]
