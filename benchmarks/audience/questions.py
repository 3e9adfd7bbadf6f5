"""The questions: each as an audience, and as the SQL that somebody who knows DuckDB writes for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from zsync_pipelines.domain.config import Audience, Model

AS_OF = datetime(2024, 3, 10, 12, 0, tzinfo=UTC)


@dataclass(frozen=True)
class Question:
    """`columns` are those wanted beside the key; `by_hand` gives the key and them, in that order."""

    name: str
    tree: Mapping[str, Any]
    by_hand: str
    columns: tuple[str, ...] = ()
    audiences: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def asked(self) -> Audience:
        return _audience("asked", self.tree)

    def others(self) -> dict[str, Audience]:
        return {name: _audience(name, tree) for name, tree in self.audiences.items()}


def _audience(name: str, tree: Mapping[str, Any]) -> Audience:
    return Audience.model_validate({"id": name, "model": MODEL.id, "filter_tree": tree})


def _property(column: str, operator: str, value: Any = None) -> dict[str, Any]:
    given = {} if value is None else {"value": value}
    return {"type": "condition", "condition_type": "property", "column": column, "operator": operator, **given}


def _bought(operator: str, count: int, **more: Any) -> dict[str, Any]:
    condition = {"type": "condition", "condition_type": "event", "event": "purchases"}
    return {**condition, "operator": operator, "value": count, **more}


def _group(kind: str, *children: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": kind, "children": list(children)}


def _in(name: str, operator: str = "in") -> dict[str, Any]:
    return {"type": "condition", "condition_type": "audience", "audience": name, "operator": operator}


_RECENT = {"event": "purchases", "within_days": 90}
MODEL = Model.model_validate(
    {
        "id": "customers",
        "source": "shop",
        "table": "customers",
        "entity_key": "customer_id",
        "events": {
            "purchases": {"table": "purchases", "foreign_key": "customer_id", "timestamp": "purchased_at"},
        },
        "traits": {
            "spend_90d": {**_RECENT, "aggregate": "sum", "column": "amount"},
            "orders_90d": {**_RECENT, "aggregate": "count"},
            "greatest_90d": {**_RECENT, "aggregate": "max", "column": "amount"},
            "first_at": {"event": "purchases", "aggregate": "min", "column": "purchased_at"},
            "first_category": {"event": "purchases", "aggregate": "first", "column": "category"},
            "last_category": {"event": "purchases", "aggregate": "last", "column": "category"},
            "last_amount_90d": {**_RECENT, "aggregate": "last", "column": "amount"},
        },
    }
)
_NOW = "TIMESTAMP '2024-03-10 12:00:00'"
_90 = f"purchased_at > {_NOW} - INTERVAL 90 DAY AND purchased_at <= {_NOW}"
_180 = f"purchased_at > {_NOW} - INTERVAL 180 DAY AND purchased_at <= {_NOW}"

QUESTIONS = (
    Question(
        "properties",
        _group(
            "and",
            _property("country", "in", ["US", "CA"]),
            _property("age", "between", [30, 49]),
            _property("email", "ends_with", "@example.org"),
            _group("or", _property("subscribed", "is_true"), _property("signed_up", "within_last_days", 365)),
        ),
        "SELECT customer_id, email FROM customers WHERE country IN ('US', 'CA') AND age BETWEEN 30 AND 49"
        " AND suffix(email, '@example.org')"
        " AND (subscribed OR signed_up BETWEEN DATE '2023-03-12' AND DATE '2024-03-10')",
        columns=("email",),
    ),
    Question(
        "count in a window",
        _bought("at_least", 3, within_days=90),
        "SELECT customer_id FROM customers WHERE customer_id IN"
        f" (SELECT customer_id FROM purchases WHERE {_90} GROUP BY customer_id HAVING count(*) >= 3)",
    ),
    Question(
        "any in a window",
        _bought("at_least", 1, within_days=90),
        f"SELECT customer_id FROM customers WHERE customer_id IN (SELECT customer_id FROM purchases WHERE {_90})",
    ),
    Question(
        "event with where",
        _bought(
            "at_least",
            2,
            where=_group("and", _property("category", "equals", "toys"), _property("amount", "greater_than", 50)),
        ),
        "SELECT customer_id FROM customers WHERE customer_id IN (SELECT customer_id FROM purchases"
        f" WHERE category = 'toys' AND amount > 50 AND purchased_at <= {_NOW}"
        " GROUP BY customer_id HAVING count(*) >= 2)",
    ),
    Question(
        "not of an event",
        _group("not", _bought("at_least", 1, within_days=180)),
        "SELECT c.customer_id FROM customers c ANTI JOIN"
        f" (SELECT customer_id FROM purchases WHERE {_180}) p ON p.customer_id = c.customer_id",
    ),
    Question(
        "sum over a threshold",
        _property("spend_90d", "greater_than", 200),
        "SELECT c.customer_id, c.email, t.spend FROM customers c JOIN (SELECT customer_id, sum(amount) AS spend"
        f" FROM purchases WHERE {_90} GROUP BY customer_id HAVING spend > 200) t ON t.customer_id = c.customer_id",
        columns=("email", "spend_90d"),
    ),
    Question(
        "traits sharing a window",
        _group("and", _property("orders_90d", "greater_than", 1), _property("country", "equals", "DE")),
        "SELECT c.customer_id, c.email, t.spend, t.orders, t.greatest FROM customers c JOIN"
        " (SELECT customer_id, sum(amount) AS spend, count(*) AS orders, max(amount) AS greatest"
        f" FROM purchases WHERE {_90} GROUP BY customer_id HAVING orders > 1) t ON t.customer_id = c.customer_id"
        " WHERE c.country = 'DE'",
        columns=("email", "spend_90d", "orders_90d", "greatest_90d"),
    ),
    Question(
        "audience in audience",
        _group("and", _in("spenders"), _in("europeans", "not_in"), _property("subscribed", "is_true")),
        "SELECT c.customer_id, c.email FROM customers c WHERE c.subscribed"
        " AND (c.country NOT IN ('DE', 'FR') OR c.country IS NULL) AND c.customer_id IN (SELECT customer_id"
        f" FROM purchases WHERE {_90} GROUP BY customer_id HAVING sum(amount) >= 100)",
        columns=("email",),
        audiences={
            "spenders": _property("spend_90d", "greater_than_or_equal", 100),
            "europeans": _property("country", "in", ["DE", "FR"]),
        },
    ),
    Question(
        "last value in a window",
        _property("last_amount_90d", "greater_than", 100),
        "SELECT c.customer_id, t.amount FROM customers c JOIN (SELECT customer_id, amount FROM purchases"
        f" WHERE {_90} QUALIFY row_number() OVER"
        " (PARTITION BY customer_id ORDER BY purchased_at DESC, amount DESC NULLS LAST) = 1) t"
        " ON t.customer_id = c.customer_id WHERE t.amount > 100",
        columns=("last_amount_90d",),
    ),
    Question(
        "first and last of all",
        _property("last_category", "equals", "shoes"),
        f"WITH p AS (SELECT customer_id, purchased_at, category FROM purchases WHERE purchased_at <= {_NOW}),"
        " ends AS (SELECT customer_id, min(purchased_at) AS t0, max(purchased_at) AS t1 FROM p GROUP BY customer_id)"
        " SELECT c.customer_id, f.category, l.category FROM customers c"
        " JOIN (SELECT p.customer_id, max(category) AS category FROM p JOIN ends ON ends.customer_id = p.customer_id"
        " AND t1 = purchased_at GROUP BY p.customer_id HAVING category = 'shoes') l ON l.customer_id = c.customer_id"
        " JOIN (SELECT p.customer_id, min(category) AS category FROM p JOIN ends ON ends.customer_id = p.customer_id"
        " AND t0 = purchased_at GROUP BY p.customer_id) f ON f.customer_id = c.customer_id",
        columns=("first_category", "last_category"),
    ),
    Question(
        "the same, ties to chance",  # arg_max takes any of several rows at one moment; the data has none
        _property("last_category", "equals", "shoes"),
        "SELECT c.customer_id, t.first_category, t.last_category FROM customers c JOIN (SELECT customer_id,"
        " arg_min_null(category, purchased_at) AS first_category, arg_max_null(category, purchased_at) AS last_category"
        f" FROM purchases WHERE purchased_at <= {_NOW} GROUP BY customer_id HAVING last_category = 'shoes') t"
        " ON t.customer_id = c.customer_id",
        columns=("first_category", "last_category"),
    ),
)
