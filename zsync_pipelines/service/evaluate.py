"""From the rows of an audience, in its source or in a kept evaluation, to a sync's membership as a frame file."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

import polars as pl
import pyarrow as pa

from zsync_pipelines.domain.config import SyncMode
from zsync_pipelines.domain.keys import KEY, KEY_HASH, KeyType
from zsync_pipelines.engine.membership import (
    as_held,
    map_rows,
    membership_schema,
    prepare,
    resolve_duplicates,
    take_faults,
)
from zsync_pipelines.engine.row_hash import with_row_hash
from zsync_pipelines.service.ahead import ahead
from zsync_pipelines.service.bootstrap import Progress, Zsync, no_progress
from zsync_pipelines.service.refs import MembershipRef
from zsync_pipelines.service.setup import SyncSetup
from zsync_pipelines.sources.evaluate import EvaluationRequest, evaluate
from zsync_pipelines.sources.reader import Bounds
from zsync_pipelines.store.frame_writing import frame_writer
from zsync_pipelines.store.spill import Spill
from zsync_pipelines.store.temporary import temporary_folder

INVALID_SCHEMA = pa.schema(
    [
        pa.field(KEY_HASH, pa.uint64()),
        pa.field(KEY, pa.large_string()),
        pa.field("field", pa.large_string()),
        pa.field("reason", pa.large_string()),
    ]
)


class AudienceRows(Protocol):
    """Rows of an audience: `entity_key` (text), then the source's columns under `c:` and their names."""

    schema: pa.Schema
    key_type: KeyType

    def batches(self) -> Iterator[pa.RecordBatch]:
        """The rows, once, a bounded number at a time; duplicate and null keys as they are in the source."""


def mapped_columns(setup: SyncSetup) -> tuple[str, ...]:
    """The source's columns that a sync needs, each once."""
    return tuple(dict.fromkeys(field.source_column for field in setup.sync.field_mapping))


def evaluate_membership(
    app: Zsync, setup: SyncSetup, as_of: datetime, folder: str, progress: Progress = no_progress
) -> MembershipRef:
    """Evaluate as of a moment in the source, for this sync alone; see `derive_membership`.

    SourceError if the source cannot be read to the end.
    """
    request = EvaluationRequest(
        model=setup.model,
        audience=setup.audience,
        columns=mapped_columns(setup),
        as_of=as_of,
        audiences=setup.audiences,
    )
    with (
        temporary_folder(app.settings.temporary) as spilled,
        evaluate(setup.source_url, request, bounds=Bounds(app.settings.database_bytes, spilled)) as evaluation,
    ):
        return derive_membership(app, setup, evaluation, as_of, folder, progress)


@dataclass(frozen=True, slots=True)
class _Found:
    """Faults and conflicts of a piece."""

    faults: pl.DataFrame
    conflicts: pl.DataFrame


def _resolved(rows: pl.DataFrame, *, held: bool) -> tuple[pl.DataFrame, _Found]:
    """The members of a piece, sorted and with their hashes, and who cannot be one."""
    members = resolve_duplicates(rows)
    usable = take_faults(members.valid)
    hashed = with_row_hash(usable.valid)
    return as_held(hashed) if held else hashed, _Found(usable.invalid, members.invalid)


def _may_become_base(app: Zsync, setup: SyncSetup) -> bool:
    """Whether the membership is the first snapshot too if the destination takes everybody: there is none before it,
    and a row of it says all that a snapshot keeps."""
    current = app.snapshots.current(setup.sync.id)
    known_by_key = not (setup.capabilities.gives_ids or set(setup.capabilities.identifiers) & set(setup.mapped_names))
    sends = setup.sync.sync_mode is not SyncMode.SUBTRACTIVE
    return known_by_key and sends and (current is None or current.fingerprint != setup.fingerprint)


def derive_membership(
    app: Zsync, setup: SyncSetup, source: AudienceRows, as_of: datetime, folder: str, progress: Progress = no_progress
) -> MembershipRef:
    """One row per member; rows are written to `folder`, normalised and hashed as the destination asks."""
    mapping, specs = setup.sync.field_mapping, setup.mapped_specs
    path, invalid_path, faults_path = (f"{folder}/{name}.parquet" for name in ("membership", "conflicts", "faults"))
    null_keys = seen = 0
    with Spill(app.settings.temporary, app.settings.piece_bytes) as spill:
        held = _may_become_base(app, setup)
        schema = membership_schema(source.schema, mapping, specs, held=held)
        for batch in source.batches():
            rows = prepare(map_rows(batch, mapping), specs)
            keyed = rows.filter(pl.col(KEY).is_not_null())
            null_keys += rows.height - keyed.height
            seen += rows.height
            spill.add(keyed)
            progress("rows of the audience read", seen, None)
        with (
            frame_writer(app.storage, path, schema) as valid,
            frame_writer(app.storage, invalid_path, INVALID_SCHEMA) as invalid,
            frame_writer(app.storage, faults_path, INVALID_SCHEMA) as faults,
        ):
            for members, found in ahead(_resolved(rows, held=held) for rows in spill.drain()):
                valid.write(members)
                faults.write(found.faults)
                invalid.write(found.conflicts)
    return MembershipRef(
        path=path,
        invalid_path=invalid_path,
        rows=valid.rows,
        conflicts=invalid.rows,
        null_keys=null_keys,
        key_name=setup.model.entity_key,
        key_type=source.key_type,
        as_of=as_of,
        faults_path=faults_path,
        duplicate_rows=seen - null_keys - valid.rows - invalid.rows,
    )
