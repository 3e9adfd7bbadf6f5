"""The SQL of the golden trees in dialects whose databases are not here, kept as files, and read by a parser of each.

`ZSYNC_GOLDEN=write pytest ...` writes the files anew. Where the extra of a dialect is not installed its tests skip.
"""

from __future__ import annotations

import os

import pytest
import sqlglot

from zsync_pipelines.sources.evaluate import EvaluationRequest
from zsync_pipelines.sources.reader import MODULES
from zsync_pipelines.sources.types import Family
from zsync_pipelines_tests.sources.asking import request, request_of
from zsync_pipelines_tests.sources.offline import Tables, dialect_of, statement
from zsync_pipelines_tests.sources.test_golden_sql import CUSTOMERS, FOLDER, SELECTIONS, TREES

TABLES: Tables = {
    "customers": {
        "customer_id": Family.INTEGER,
        "email": Family.TEXT,
        "name": Family.TEXT,
        "Full Name": Family.TEXT,
        "country": Family.TEXT,
        "born": Family.DATE,
        "balance": Family.DECIMAL,
        "signed_up": Family.ZONED,
        "subscribed": Family.BOOLEAN,
    },
    "purchases": {
        "customer_id": Family.INTEGER,
        "purchased_at": Family.NAIVE,
        "amount": Family.DECIMAL,
        "weight": Family.FLOAT,
        "shop": Family.TEXT,
    },
}
SELECTED = ("top_spenders", "top_spenders_holdout", "others")
NAMES = (*TREES, *(f"selection_{name}" for name in SELECTED))
PARSERS = {name: name for name in MODULES.values()} | {"mssql": "tsql"}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("backend", MODULES)
def test_sql_is_as_kept(backend: str, name: str) -> None:
    made = statement(dialect_of(backend), TABLES, asked(name))
    path = FOLDER / MODULES[backend] / f"{name}.sql"
    text = f"{made}\n"
    if os.environ.get("ZSYNC_GOLDEN") == "write":
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    assert text == path.read_text()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("backend", MODULES)
def test_sql_is_of_its_dialect(backend: str, name: str) -> None:
    made = statement(dialect_of(backend, "qmark"), TABLES, asked(name))
    parsed = sqlglot.parse_one(made.sql, read=PARSERS[MODULES[backend]])
    assert len(list(parsed.find_all(sqlglot.exp.Placeholder))) == len(made.parameters)


def asked(name: str) -> EvaluationRequest:
    if name not in TREES:
        return request_of(CUSTOMERS, name.removeprefix("selection_"), SELECTIONS, columns=("email", "spend_90d"))
    tree, columns, audiences = TREES[name]
    return request(CUSTOMERS, tree, columns, audiences=audiences)
