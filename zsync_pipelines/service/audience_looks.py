"""Look at an audience without keeping anything: how many it has, some of its rows, the SQL that finds it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import polars as pl
import pyarrow as pa

from zsync_pipelines.destinations.json_rows import json_list
from zsync_pipelines.domain.filters import PropertyCondition, PropertyOperator, conditions
from zsync_pipelines.domain.keys import KEY, KeyType, native_key
from zsync_pipelines.domain.run import utc_text
from zsync_pipelines.service.audience_setup import AudienceSetup, load_audience
from zsync_pipelines.service.bootstrap import Zsync
from zsync_pipelines.service.masking import is_shown, masked
from zsync_pipelines.sources.count import Counts, count
from zsync_pipelines.sources.evaluate import PREFIX, compile_statement, evaluate
from zsync_pipelines.sources.statement import Statement

_OF_ANY_TYPE = (PropertyOperator.IS_NULL, PropertyOperator.IS_NOT_NULL)


@dataclass(frozen=True, slots=True)
class Estimate:
    """How many members an audience has as of a moment."""

    audience_id: str
    as_of: datetime
    counts: Counts

    @property
    def percent(self) -> float | None:
        """Of the model's entities, to two digits; None where it has none."""
        return round(100 * self.counts.members / self.counts.total, 2) if self.counts.total else None

    @property
    def duplicate_rows(self) -> int:
        """Rows beyond the first of their key."""
        return self.counts.rows - self.counts.null_keys - self.counts.members

    def to_json(self) -> dict[str, Any]:
        """As users see it."""
        return {
            "audience_id": self.audience_id,
            "as_of": utc_text(self.as_of),
            "members": self.counts.members,
            "model_members": self.counts.total,
            "percent": self.percent,
            "rows": self.counts.rows,
            "null_keys": self.counts.null_keys,
            "duplicate_rows": self.duplicate_rows,
        }


@dataclass(frozen=True, slots=True)
class Preview:
    """Some rows of an audience: keys (None where the source has none) and the values of `columns` as JSON has them.
    Of the columns `masked` the kind of each value stands for it."""

    audience_id: str
    as_of: datetime
    entity_key: str
    columns: tuple[str, ...]
    masked: tuple[str, ...]
    keys: tuple[int | str | None, ...]
    values: tuple[dict[str, Any], ...]

    def to_json(self) -> dict[str, Any]:
        """As users see it."""
        rows = zip(self.keys, self.values, strict=True)
        return {
            "audience_id": self.audience_id,
            "as_of": utc_text(self.as_of),
            "entity_key": self.entity_key,
            "columns": list(self.columns),
            "masked": list(self.masked),
            "rows": [{"entity_key": key, "values": values} for key, values in rows],
        }


@dataclass(frozen=True, slots=True)
class AudienceSql:
    """The statement that evaluates an audience, with its columns, as of a moment."""

    audience_id: str
    as_of: datetime
    columns: tuple[str, ...]
    statement: Statement

    def to_json(self) -> dict[str, Any]:
        """As users see it."""
        return {
            "audience_id": self.audience_id,
            "as_of": utc_text(self.as_of),
            "columns": list(self.columns),
            "sql": self.statement.sql,
            "parameters": [_json_value(value) for value in self.statement.parameters],
        }


def estimate(app: Zsync, audience_id: str, as_of: datetime | None = None) -> Estimate:
    """Count an audience in its source, as of a moment (aware; default: now)."""
    found, moment = load_audience(app, audience_id), as_of or app.clock()
    return Estimate(audience_id, moment, count(found.source_url, found.request((), moment)))


def preview(
    app: Zsync,
    audience_id: str,
    limit: int,
    columns: Sequence[str] | None = None,
    as_of: datetime | None = None,
    *,
    show: bool = False,
) -> Preview:
    """At most `limit` rows, whichever the source finds first.

    `columns` and traits beside the key; by default those that its syncs map and its filter tree tests. Personal data is
    masked (see `service.masking`) unless `show`.
    """
    found, moment = load_audience(app, audience_id), as_of or app.clock()
    names = _unique(columns) if columns is not None else _unique([*_mapped(found), *_tested(found)])
    with evaluate(found.source_url, found.request(names, moment), limit) as evaluation:
        rows = pa.Table.from_batches(evaluation.batches(), schema=evaluation.schema)
    hidden = tuple(name for name in names if not show and not is_shown(found.model, name))
    return Preview(
        audience_id=audience_id,
        as_of=moment,
        entity_key=found.model.entity_key,
        columns=names,
        masked=hidden,
        keys=_keys(rows, evaluation.key_type),
        values=_values(rows, names, hidden),
    )


def sql_of(
    app: Zsync, audience_id: str, columns: Sequence[str] | None = None, as_of: datetime | None = None
) -> AudienceSql:
    """The SQL of an audience with `columns`, by default those that its syncs map. The source is only asked about its
    columns."""
    found, moment = load_audience(app, audience_id), as_of or app.clock()
    names = _unique(columns if columns is not None else _mapped(found))
    return AudienceSql(audience_id, moment, names, compile_statement(found.source_url, found.request(names, moment)))


def _unique(names: Sequence[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(names))


def _mapped(found: AudienceSetup) -> list[str]:
    return [mapping.source_column for sync in found.syncs for mapping in sync.field_mapping]


def _tested(found: AudienceSetup) -> list[str]:
    """Columns that the filter tree tests, and the one that the audience is ordered by; but for those that it asks for
    nulls only: they may be of any type, also of one that cannot leave the source."""
    order = found.audience.order_by
    tested = [
        condition.column
        for condition in conditions(found.audience.filter_tree)
        if isinstance(condition, PropertyCondition) and condition.operator not in _OF_ANY_TYPE
    ]
    return tested if order is None else [*tested, order.column]


def _keys(rows: pa.Table, key_type: KeyType) -> tuple[int | str | None, ...]:
    return tuple(None if key is None else native_key(key, key_type) for key in rows.column(KEY).to_pylist())


def _values(rows: pa.Table, names: Sequence[str], hidden: Sequence[str]) -> tuple[dict[str, Any], ...]:
    """Each row's values by column, masked; decimals, times, NaN and infinities are texts."""
    if not names:
        return tuple({} for _ in range(rows.num_rows))
    frame = pl.DataFrame(rows.select([PREFIX + name for name in names]))
    frame = frame.with_columns(masked(frame.get_column(PREFIX + name)) for name in hidden)
    shown: list[dict[str, Any]] = json.loads(f"[{json_list(frame.to_arrow(), names).decode()}]")
    return tuple(shown)


def _json_value(value: Any) -> Any:
    """A bound parameter: numbers, text and booleans as they are, decimals and times as text."""
    if isinstance(value, datetime):
        return value.isoformat()
    return str(value) if isinstance(value, date | Decimal) else value
