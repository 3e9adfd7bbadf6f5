"""The membership of a run that takes out what its sync put at the destination: nobody.

Such a run goes as that of a mirror whose audience is empty, without asking the guard. The source is not asked: it may
be gone. Rows that were never sent, such as those that a subtractive sync only knew, are left alone.
"""

from __future__ import annotations

from datetime import datetime

import pyarrow as pa

from zsync_pipelines.domain.delivery import FIELD_PREFIX
from zsync_pipelines.domain.keys import KEY, KEY_HASH, KeyType
from zsync_pipelines.engine.row_hash import ROW_HASH
from zsync_pipelines.service.bootstrap import Zsync
from zsync_pipelines.service.evaluate import INVALID_SCHEMA
from zsync_pipelines.service.refs import MembershipRef
from zsync_pipelines.service.setup import SyncSetup
from zsync_pipelines.service.snapshots import Snapshot
from zsync_pipelines.store.frame_writing import frame_writer


def nobody(app: Zsync, setup: SyncSetup, as_of: datetime, folder: str) -> MembershipRef:
    """A membership without members, with the fields that the snapshot has of them. SnapshotError if it is damaged."""
    current = app.snapshots.current(setup.sync.id)
    manifest = current if current is not None and current.fingerprint == setup.fingerprint else None
    with Snapshot(app.storage, manifest) as snapshot:
        delivered = snapshot.files[-1].schema if snapshot.files else pa.schema([])
    fields = [field for field in delivered if field.name.startswith(FIELD_PREFIX)]
    keys = [pa.field(KEY_HASH, pa.uint64()), pa.field(ROW_HASH, pa.uint64()), pa.field(KEY, pa.large_string())]
    path, invalid_path = f"{folder}/membership.parquet", f"{folder}/conflicts.parquet"
    with (
        frame_writer(app.storage, path, pa.schema([*keys, *fields])),
        frame_writer(app.storage, invalid_path, INVALID_SCHEMA),
    ):
        pass
    return MembershipRef(
        path=path,
        invalid_path=invalid_path,
        rows=0,
        conflicts=0,
        null_keys=0,
        key_name=manifest.key_name if manifest else setup.model.entity_key,
        key_type=manifest.key_type if manifest else KeyType.TEXT,
        as_of=as_of,
    )
