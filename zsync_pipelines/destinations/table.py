"""The table of connectors in `docs/connectors.md`, made of what they declare. `python -m` this module prints it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

from zsync_pipelines.destinations.registry import BUILT_IN, connector
from zsync_pipelines.domain.capabilities import Capabilities, Identity, RateLimit, RowResults
from zsync_pipelines.domain.destination import About, Destination

_COLUMNS = (
    "type",
    "members are put on",
    "operations",
    "known by",
    "fields",
    "limits",
    "rows refused",
    "answers",
    "tested against",
)
_ROWS = {
    RowResults.PER_ROW: "named",
    RowResults.COUNTS: "counted, then found in pieces",
    RowResults.NONE: "not told",
}


def table() -> str:
    """A row per connector that says what it is about, in order of their labels."""
    kinds = [connector(name) for name in BUILT_IN]
    described = sorted(((k, k.about) for k in kinds if k.about is not None), key=lambda pair: pair[1].label.lower())
    rows = [_COLUMNS, tuple("---" for _ in _COLUMNS), *(tuple(_cells(kind, about)) for kind, about in described)]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows) + "\n"


def _cells(kind: type[Destination[Any]], about: About) -> Iterator[str]:
    can = kind.capabilities
    yield f"[`{kind.type}`](connectors/{kind.type}.md): [{about.label}]({about.docs})"
    yield about.members
    yield ", ".join(sorted(can.operations))
    yield about.known_by or (", ".join(can.identifiers) if can.identity is Identity.IDENTIFIERS else "entity key")
    yield _fields(can, about)
    yield _limits(can)
    yield _ROWS[can.row_results]
    yield "later" if can.asynchronous else "at once"
    yield about.tested


def _fields(can: Capabilities, about: About) -> str:
    others = [name for name in can.fields or {} if name not in can.identifiers]
    return "; ".join(part for part in (", ".join(others), about.fields) if part) or "none"


def _limits(can: Capabilities) -> str:
    parts = [f"{can.max_batch_rows:,} rows"]
    if can.max_batch_bytes is not None:
        parts.append(f"{can.max_batch_bytes / 1e6:g} MB")
    parts += [_rate(limit) for limit in can.rate_limits]
    if can.max_in_flight > 1:
        parts.append(f"{can.max_in_flight} at once")
    return ", ".join(parts)


def _rate(limit: RateLimit) -> str:
    return f"{limit.requests:,} batches in {limit.per_seconds:g} s"


if __name__ == "__main__":
    sys.stdout.write(table())
