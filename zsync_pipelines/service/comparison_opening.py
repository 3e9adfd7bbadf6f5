"""Opening what a plan compares: the membership, the snapshot, and what the destination's fields take."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pyarrow as pa

from zsync_pipelines.domain.capabilities import TargetFields
from zsync_pipelines.domain.config import SyncMode
from zsync_pipelines.domain.delivery import FIELD_PREFIX
from zsync_pipelines.domain.destination import SyncShape
from zsync_pipelines.domain.run import RunOptions
from zsync_pipelines.engine.frames import HELD_COLUMNS
from zsync_pipelines.engine.membership import shape_of
from zsync_pipelines.engine.policy import settled_states
from zsync_pipelines.errors import SnapshotError
from zsync_pipelines.service.bootstrap import Zsync
from zsync_pipelines.service.compare import Comparison
from zsync_pipelines.service.refs import MembershipRef
from zsync_pipelines.service.setup import SyncSetup
from zsync_pipelines.service.snapshots import Snapshot
from zsync_pipelines.service.waiting import WaitingKeys
from zsync_pipelines.store.frames import FrameFile
from zsync_pipelines.store.snapshots import SnapshotManifest


def compare(
    app: Zsync,
    setup: SyncSetup,
    membership: MembershipRef,
    snapshot: Snapshot,
    options: RunOptions,
    stack: ExitStack,
) -> Comparison:
    """Open what is compared; it is closed with the stack."""

    def opened(path: str | None, rows: int | None = None) -> FrameFile | None:
        return None if path is None else stack.enter_context(FrameFile(app.storage, path, rows))

    members = stack.enter_context(FrameFile(app.storage, membership.path, membership.rows, hidden=HELD_COLUMNS))
    mapped = [name for name in setup.capabilities.identifiers if FIELD_PREFIX + name in members.schema.names]
    return Comparison(
        members=members,
        conflicts=stack.enter_context(FrameFile(app.storage, membership.invalid_path, membership.conflicts)),
        faults=opened(membership.faults_path),
        snapshot=snapshot,
        waiting=stack.enter_context(WaitingKeys(app, setup.sync.id)),
        fields=_target_fields(setup, membership, members.schema, options),
        key_type=membership.key_type,
        # Those of earlier runs go on telling rows apart, though they are mapped no more.
        identifiers=tuple(dict.fromkeys([*snapshot.identifiers, *mapped])),
        max_bytes=setup.capabilities.max_batch_bytes,
        states=settled_states(setup.sync.sync_mode),
    )


@contextmanager
def open_snapshot(app: Zsync, manifest: SnapshotManifest | None, options: RunOptions) -> Iterator[Snapshot]:
    """The snapshot; a lost one counts as empty only where the user says that leavers may be forgotten."""
    try:
        snapshot = Snapshot(app.storage, manifest)
    except SnapshotError:
        if not (options.rebaseline and options.forget_leavers):
            raise
        snapshot = Snapshot(app.storage, None)
    with snapshot:
        yield snapshot


def _target_fields(setup: SyncSetup, membership: MembershipRef, schema: pa.Schema, options: RunOptions) -> TargetFields:
    """What the destination's fields take, where members are sent at all."""
    if setup.sync.sync_mode is SyncMode.SUBTRACTIVE or options.rebaseline:
        return TargetFields()
    destination = setup.connect()
    try:
        return destination.fields(sync_shape(setup, membership, schema))
    finally:
        destination.close()


def sync_shape(setup: SyncSetup, membership: MembershipRef, schema: pa.Schema) -> SyncShape:
    """What the sync sends, as the connector sees it."""
    return SyncShape(setup.sync.id, membership.key_name, membership.key_type, shape_of(schema))
