"""What filter trees mean, in plain Python over rows: written from the documentation, without a look at the SQL.

A condition is True, False or None (unknown), as in SQL.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

Row = Mapping[str, Any]


@dataclass(frozen=True)
class World:
    """`events`: rows per event name, with their key under `fk` and their time under `ts`. Times are naive UTC.

    `audiences`: trees, or maps with a `filter_tree` and more. `people`: the model's rows, one per entity.
    """

    as_of: datetime
    events: Mapping[str, Sequence[Row]]
    audiences: Mapping[str, Mapping[str, Any]]
    people: Sequence[Row] = ()


def holds(tree: Mapping[str, Any], row: Row, world: World) -> bool | None:
    """Whether a row with key `id` fulfils a tree."""
    if tree["type"] in ("and", "or", "not"):
        return _group(tree["type"], [holds(child, row, world) for child in tree["children"]])
    match tree["condition_type"]:
        case "property":
            return _property(tree, row, world)
        case "event":
            return _event(tree, row, world)
        case _:
            inside = member(tree["audience"], row, world)
            return inside if tree["operator"] == "in" else not inside


def member(name: str, row: Row, world: World) -> bool:
    """Whether a row belongs to an audience, or to a group of a split (`<audience>_<group>`)."""
    if name in world.audiences:
        return included(world.audiences[name], row, world)
    base, group = next(
        (base, group)
        for base, body in world.audiences.items()
        for group in body.get("split", ())
        if f"{base}_{group['name']}" == name
    )
    split = world.audiences[base]["split"]
    below = sum(part["percent"] for part in split[: split.index(group)])
    digest = int(hashlib.md5(f"{group.get('seed', base)}:{row['id']}".encode(), usedforsecurity=False).hexdigest(), 16)
    return below <= digest / 2**128 * 100 < below + group["percent"] and member(base, row, world)


def included(audience: Mapping[str, Any], row: Row, world: World) -> bool:
    """Whether a row is in an audience: by its tree, then by whom it excludes, then by its limit."""

    def chosen_from(person: Row) -> bool:
        fits = holds(audience.get("filter_tree", audience), person, world) is True
        return fits and not any(member(name, person, world) for name in audience.get("exclude", ()))

    if not chosen_from(row) or "limit" not in audience:
        return chosen_from(row)
    column, rising = audience["order_by"]["column"], audience["order_by"].get("direction") == "asc"
    candidates = sorted((person for person in world.people if chosen_from(person)), key=lambda person: person["id"])
    known = [person for person in candidates if person[column] is not None]
    known.sort(key=lambda person: person[column], reverse=not rising)  # stable in both directions
    first = [*known, *(person for person in candidates if person[column] is None)][: audience["limit"]]
    return row["id"] in {person["id"] for person in first}


def _group(kind: str, parts: list[bool | None]) -> bool | None:
    if kind == "not":
        return None if parts[0] is None else not parts[0]
    decisive = kind == "or"
    if decisive in parts:
        return decisive
    return None if None in parts else not decisive


_TESTS: dict[str, Callable[[Any, Any], bool]] = {
    "equals": lambda have, want: have == want,
    "greater_than": lambda have, want: have > want,
    "greater_than_or_equal": lambda have, want: have >= want,
    "less_than": lambda have, want: have < want,
    "less_than_or_equal": lambda have, want: have <= want,
    "between": lambda have, want: want[0] <= have <= want[1],
    "in": lambda have, want: have in want,
    "contains": lambda have, want: want in have,
    "starts_with": lambda have, want: have.startswith(want),
    "ends_with": lambda have, want: have.endswith(want),
}


def _property(tree: Mapping[str, Any], row: Row, world: World) -> bool | None:
    have, operator, want = row[tree["column"]], tree["operator"], tree.get("value")
    if operator in ("is_null", "is_not_null"):
        return (have is None) is (operator == "is_null")
    if have is None:
        return None
    if operator in ("is_true", "is_false"):
        return bool(have) is (operator == "is_true")
    if operator == "within_last_days":
        return _recent(have, want, world.as_of)
    if operator.startswith("not_"):
        return not _property({**tree, "operator": operator.removeprefix("not_")}, row, world)
    return _TESTS[operator](have, want)


def _event(tree: Mapping[str, Any], row: Row, world: World) -> bool:
    days, where = tree.get("within_days"), tree.get("where")
    count = sum(
        1
        for happened in world.events[tree["event"]]
        if happened["fk"] is not None
        and happened["fk"] == row["id"]
        and happened["ts"] is not None
        and _recent(happened["ts"], days, world.as_of)
        and (where is None or holds(where, happened, world) is True)
    )
    compare = {"at_least": count >= tree["value"], "at_most": count <= tree["value"], "exactly": count == tree["value"]}
    return compare[tree["operator"]]


def _recent(have: date, days: int | None, as_of: datetime) -> bool:
    """A date is its midnight."""
    moment = have if isinstance(have, datetime) else datetime(have.year, have.month, have.day)
    return moment <= as_of and (days is None or moment > as_of - timedelta(days=days))
