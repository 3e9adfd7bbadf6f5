"""What happened: runs, refused rows, and why one entity is or is not at the destination."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl

from zsync_pipelines.domain.config import Sync, SyncMode
from zsync_pipelines.domain.keys import KEY
from zsync_pipelines.domain.run import SyncRun, utc_text
from zsync_pipelines.engine.frames import MEMBER, STATE, State, key_hash
from zsync_pipelines.errors import NotFoundError, SnapshotError
from zsync_pipelines.service.bootstrap import Zsync
from zsync_pipelines.service.manage import find_sync
from zsync_pipelines.service.refs import PlanRef
from zsync_pipelines.service.setup import load_setup
from zsync_pipelines.service.snapshots import Snapshot
from zsync_pipelines.store import leases
from zsync_pipelines.store.frames import FrameFile
from zsync_pipelines.store.runs import RejectedRow
from zsync_pipelines.store.snapshots import SnapshotManifest

__all__ = ["Explanation", "RejectedRow", "explain", "free_parked", "list_rejections", "list_runs", "request_cancel"]


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why an entity is or is not at the destination: in sentences, and the facts behind them (no field values)."""

    sync_id: str
    entity_key: str
    sentences: list[str]
    facts: Mapping[str, Any]

    def to_json(self) -> dict[str, Any]:
        """As users see it."""
        return {"sync_id": self.sync_id, "entity_key": self.entity_key, "explanation": self.sentences, **self.facts}


def list_runs(app: Zsync, sync_id: str, limit: int | None = 20) -> list[SyncRun]:
    """Runs of a sync, newest first. A deleted sync keeps its history; NotFoundError if there never was one."""
    runs = app.runs.recent(sync_id, limit)
    if not runs:
        find_sync(app, sync_id)
    return runs


def list_rejections(app: Zsync, sync_id: str, run_id: str | None = None) -> list[RejectedRow]:
    """Rows that the destination refused in one run; by default in the last one that delivered."""
    if run_id is not None:
        run = app.runs.get(run_id)
        if run is None or run.sync_id != sync_id:
            raise NotFoundError(f"sync '{sync_id}' has no run '{run_id}'; `zsync runs {sync_id}` lists them")
        return app.runs.rejections(run_id)
    delivered = next((run for run in list_runs(app, sync_id) if run.members is not None), None)
    return [] if delivered is None else app.runs.rejections(delivered.id)


def request_cancel(app: Zsync, sync_id: str) -> SyncRun | None:
    """Ask the run that is under way to stop after the batch in flight; None if there is none."""
    find_sync(app, sync_id)
    with app.database.connect() as connection:
        run_id = leases.holder(connection, sync_id)
    if run_id is None:
        return None
    app.runs.request_cancel(run_id, app.clock())
    return app.runs.get(run_id)


def free_parked(app: Zsync, sync_id: str) -> int:
    """How many parked rows are freed to be tried again. No row is parked yet: every refused row is tried each run."""
    find_sync(app, sync_id)
    return 0


def explain(app: Zsync, sync_id: str, key: str) -> Explanation:
    """Answer from the last committed run: membership, snapshot and the latest refusals."""
    setup = load_setup(app, sync_id)
    manifest = app.snapshots.current(sync_id)
    refusals = app.runs.rejections_of_key(sync_id, key)
    if manifest is None or manifest.fingerprint != setup.fingerprint:
        return Explanation(
            sync_id, key, ["This sync has not completed a run for its present destination yet."], {"member": None}
        )
    row = _snapshot_row(app, manifest, key)
    state = None if row is None else State(row[STATE])
    evaluated = _evaluated(app, manifest, key)
    member = evaluated.member if row is None else bool(row[MEMBER])
    sentences = _sentences(setup.sync, member, state, manifest)
    if evaluated.invalid is not None:
        sentences.append(f"It could not be sent: {evaluated.invalid}.")
    if refusals:
        last = refusals[0]
        sentences.append(
            f"The destination last refused to {last.op} it on {utc_text(last.last_at)}, attempt {last.attempts}: "
            f"{last.reason}."
        )
    facts = {
        "member": member,
        "state": None if state is None else state.name.lower(),
        "invalid": evaluated.invalid,
        "as_of": utc_text(manifest.as_of),
        "snapshot_version": manifest.version,
        "rejections": [refusal.to_json() for refusal in refusals],
    }
    return Explanation(sync_id, key, sentences, facts)


@dataclass(frozen=True, slots=True)
class _Evaluated:
    """What the last run's own files say of a key. `member` is None if they are no longer kept."""

    member: bool | None = None
    invalid: str | None = None


def _evaluated(app: Zsync, manifest: SnapshotManifest, key: str) -> _Evaluated:
    stored = app.runs.plan(manifest.run_id)
    if stored is None:
        return _Evaluated()
    plan = PlanRef.from_json(stored)
    try:
        with FrameFile(app.storage, plan.invalid_path) as file:
            invalid = _of_key(file, key)
        with FrameFile(app.storage, plan.membership.path) as file:
            member = not _of_key(file, key).is_empty() or not invalid.is_empty()
    except SnapshotError:
        return _Evaluated()
    if invalid.is_empty():
        return _Evaluated(member)
    field, reason = invalid.select("field", "reason").row(0)
    return _Evaluated(member, f"field '{field}' is {reason}" if field else reason)


def _of_key(file: FrameFile, key: str) -> pl.DataFrame:
    wanted = pl.DataFrame({KEY: [key]}).select(key_hash()).item()
    return file.read(wanted, wanted + 1).filter(pl.col(KEY) == key)


def _snapshot_row(app: Zsync, manifest: SnapshotManifest, key: str) -> dict[str, Any] | None:
    wanted = pl.DataFrame({KEY: [key]}).select(key_hash()).item()
    with Snapshot(app.storage, manifest) as snapshot:
        rows = snapshot.read(wanted, wanted + 1).filter(pl.col(KEY) == key)
    return None if rows.is_empty() else rows.row(0, named=True)


def _sentences(sync: Sync, member: bool | None, state: State | None, manifest: SnapshotManifest) -> list[str]:
    when = f"As of the last run ({utc_text(manifest.as_of)})"
    if state is None:
        inside = {
            True: "it is in the audience, and the destination does not hold it",
            False: "it is not in the audience, and the destination does not hold it",
            None: "nothing is known of it at the destination",
        }[member]
        return [f"{when} {inside}."]
    inside = "it is in the audience" if member else "it is not in the audience"
    there = {
        State.HELD: "the destination acknowledged holding it",
        State.KNOWN: "it is part of the baseline: never sent, and removed from the destination once it leaves",
        State.ADD_UNCONFIRMED: "it was sent and no answer came, so the destination may hold it",
        State.UPDATE_UNCONFIRMED: "the destination holds it; its last update went unanswered and is sent again",
        State.REMOVE_UNCONFIRMED: "its removal was sent and no answer came, so the destination may still hold it",
    }[state]
    sentences = [f"{when} {inside}, and {there}."]
    if not member and state is not State.KNOWN:
        sentences.append(
            "It stays there: an additive sync removes nobody."
            if sync.sync_mode is SyncMode.ADDITIVE
            else "Its removal is due: it was refused, held by the guard, or not answered."
        )
    return sentences
