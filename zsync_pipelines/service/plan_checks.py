"""What a run refuses to do unless an option allows it: go back in time, take other keys for the same, and the like."""

from __future__ import annotations

from datetime import datetime

from zsync_pipelines.domain.run import RunOptions
from zsync_pipelines.engine import identity
from zsync_pipelines.errors import OlderAsOfError, RefusedError
from zsync_pipelines.service.compare import Comparison
from zsync_pipelines.service.refs import MembershipRef
from zsync_pipelines.service.setup import SyncSetup
from zsync_pipelines.store.snapshots import SnapshotManifest


def check_options(
    setup: SyncSetup, manifest: SnapshotManifest | None, membership: MembershipRef, options: RunOptions
) -> None:
    """RefusedError for what is refused before anything is read."""
    if options.rebaseline and setup.capabilities.remove_by == "destination_id":
        raise RefusedError(
            f"destination type '{setup.destination_type}' removes members by its own ids, which only sending gives: "
            "--rebaseline would leave members that cannot be removed; use --full-resync"
        )
    if manifest is None:
        return
    check_as_of(manifest, membership.as_of, options)
    if not (options.rebaseline or options.full_resync):
        identity.check_key_column(manifest.key_name, membership.key_name)


def check_key_types(
    manifest: SnapshotManifest, membership: MembershipRef, comparison: Comparison, spans: list[tuple[int, int]]
) -> None:
    """KeyChangedError if the keys' type changed and their text did too."""
    if manifest.key_type is membership.key_type:
        return
    for low, high in spans:
        old, rows = comparison.snapshot.read(low, high), comparison.members.read(low, high)
        identity.check_key_types(manifest.key_type, membership.key_type, old, rows)


def check_as_of(manifest: SnapshotManifest | None, as_of: datetime, options: RunOptions) -> None:
    """OlderAsOfError when `as_of` (aware) lies before the last committed run's, unless allowed."""
    if manifest is not None and as_of < manifest.as_of and not options.allow_older:
        raise OlderAsOfError(
            f"as_of {as_of} is older than that of the last run, {manifest.as_of}: the destination would go back in "
            "time; allow it with --allow-older"
        )
