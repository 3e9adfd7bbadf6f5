"""A configuration that holds one of everything, for tests that break or change one part of it."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import yaml

EXAMPLE: dict[str, Any] = {
    "sources": {"shop": {"url": "duckdb:///${SHOP_DB:-shop.duckdb}"}},
    "models": {
        "customers": {
            "source": "shop",
            "table": "customers",
            "entity_key": "customer_id",
            "events": {
                "purchases": {"table": "purchases", "foreign_key": "customer_id", "timestamp": "purchased_on"},
            },
            "traits": {
                "spend_90d": {"event": "purchases", "aggregate": "sum", "column": "amount", "within_days": 90},
            },
        }
    },
    "audiences": {
        "active": {
            "model": "customers",
            "filter_tree": {
                "type": "and",
                "children": [
                    {"condition_type": "event", "event": "purchases", "operator": "at_least", "value": 1},
                    {"condition_type": "property", "column": "country", "operator": "in", "value": ["US", "NO"]},
                ],
            },
        }
    },
    "destinations": {"crm": {"type": "sql", "config": {"url": "sqlite:///crm.db", "table": "contacts"}}},
    "syncs": {
        "vip": {
            "audience": "active",
            "destination": "crm",
            "sync_mode": "mirror",
            "field_mapping": [{"source_column": "email", "destination_field": "email"}],
        }
    },
}


def example(**changes: Any) -> dict[str, Any]:
    """The example with values changed at dotted paths, written with `__` for each dot; `...` removes a key."""
    document = copy.deepcopy(EXAMPLE)
    for path, value in changes.items():
        *way, last = path.split("__")
        node: Any = document
        for part in way:
            node = node[int(part)] if isinstance(node, list) else node.setdefault(part, {})
        if value is ...:
            del node[last]
        elif isinstance(node, list):
            node[int(last)] = value
        else:
            node[last] = value
    return document


def write(path: Path, document: dict[str, Any] | str) -> Path:
    """Write a configuration file and return its path."""
    text = document if isinstance(document, str) else yaml.safe_dump(document, sort_keys=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path
