"""Why one entity is or is not at the destination, from the last committed run, in words for people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import polars as pl

from zsync_pipelines.domain.config import Sync, SyncMode
from zsync_pipelines.domain.keys import KEY
from zsync_pipelines.domain.run import utc_text
from zsync_pipelines.engine.frames import MEMBER, STATE, State, key_hash
from zsync_pipelines.engine.identifiers import FOLLOWS
from zsync_pipelines.engine.refusals import is_resting
from zsync_pipelines.errors import SnapshotError
from zsync_pipelines.service.bootstrap import Zsync
from zsync_pipelines.service.history import Refused, patience_of
from zsync_pipelines.service.refs import PlanRef
from zsync_pipelines.service.refusals import Standing, rows_of
from zsync_pipelines.service.setup import load_setup
from zsync_pipelines.service.snapshots import Snapshot
from zsync_pipelines.service.waiting import WaitingKeys
from zsync_pipelines.store.frames import FrameFile
from zsync_pipelines.store.snapshots import SnapshotManifest


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


def explain(app: Zsync, sync_id: str, key: str) -> Explanation:
    """Answer from membership, snapshot and attempts, as of the last committed run."""
    setup = load_setup(app, sync_id)
    manifest = app.snapshots.current(sync_id)
    if manifest is None or manifest.fingerprint != setup.fingerprint:
        sentence = "This sync has not completed a run for its present destination yet."
        return Explanation(sync_id, key, [sentence], {"member": None})
    known = _Known(
        rows=_snapshot_rows(app, manifest, key),
        run=_of_last_run(app, manifest, key),
        refusals=_refusals(app, manifest, key),
        pending=_is_waiting(app, sync_id, key),
    )
    facts = {
        "member": known.member,
        "state": None if known.state is None else known.state.name.lower(),
        "invalid": known.run.invalid,
        "held": known.run.held,
        "pending": known.pending,
        "parked": any(refused.parked for refused in known.refusals),
        "as_of": utc_text(manifest.as_of),
        "snapshot_version": manifest.version,
        "rejections": [refused.to_json() for refused in known.refusals],
    }
    sentences = [f"As of the last run ({utc_text(manifest.as_of)}) {_standing(known)}."]
    sentences += _reasons(known, setup.sync)
    return Explanation(sync_id, key, sentences, facts)


@dataclass(frozen=True, slots=True)
class _LastRun:
    """What the last run's own files say of a key. `member` is None if they are no longer kept."""

    member: bool | None = None
    invalid: str | None = None
    held: bool = False
    follows: bool = False


@dataclass(frozen=True, slots=True)
class _Known:
    """Everything that is known of a key. `rows`: of the snapshot; several where an identifier changed."""

    rows: list[dict[str, Any]]
    run: _LastRun
    refusals: list[Refused]
    pending: bool

    @property
    def row(self) -> dict[str, Any] | None:
        """The row that speaks of the entity as it is now: that of a member before any other."""
        return max(self.rows, key=lambda row: bool(row[MEMBER]), default=None)

    @property
    def state(self) -> State | None:
        return None if self.row is None else State(self.row[STATE])

    @property
    def member(self) -> bool | None:
        """Whether it was in the audience; by its row where the run's files are gone."""
        if self.run.member is not None or self.row is None:
            return self.run.member
        return bool(self.row[MEMBER])


def _snapshot_rows(app: Zsync, manifest: SnapshotManifest, key: str) -> list[dict[str, Any]]:
    low, high = _range_of(key)
    with Snapshot(app.storage, manifest) as snapshot:
        return snapshot.read(low, high).filter(pl.col(KEY) == key).select(MEMBER, STATE).to_dicts()


def _of_last_run(app: Zsync, manifest: SnapshotManifest, key: str) -> _LastRun:
    stored = app.runs.plan(manifest.run_id)
    if stored is None:
        return _LastRun()
    plan = PlanRef.from_json(stored)
    try:
        invalid = _of_key(app, plan.invalid_path, key)
        member = not invalid.is_empty() or not _of_key(app, plan.membership.path, key).is_empty()
        held = any(part.held and not _of_key(app, part.path, key).is_empty() for part in plan.parts)
        shared = None if plan.shared_path is None else _of_key(app, plan.shared_path, key)
    except SnapshotError:
        return _LastRun()
    follows = shared is not None and bool(shared[FOLLOWS].any())
    if invalid.is_empty():
        return _LastRun(member, None, held, follows)
    field, reason = invalid.select("field", "reason").row(0)
    return _LastRun(member, f"field '{field}' is {reason}" if field else reason, held, follows)


def _refusals(app: Zsync, manifest: SnapshotManifest, key: str) -> list[Refused]:
    patience = patience_of(app, manifest.sync_id)
    with closing(Standing(app.storage, manifest.refused)) as standing:
        found = standing.read(*_range_of(key)).filter(pl.col(KEY) == key)
    found = found.with_columns(is_resting(patience).alias("parked")).sort("last_at", descending=True)
    return [Refused(row, parked) for row, parked in zip(rows_of(manifest.sync_id, found), found["parked"], strict=True)]


def _is_waiting(app: Zsync, sync_id: str, key: str) -> bool:
    with WaitingKeys(app, sync_id) as waiting:
        return key in set(waiting.read(*_range_of(key))[KEY])


def _of_key(app: Zsync, path: str, key: str) -> pl.DataFrame:
    with FrameFile(app.storage, path) as file:
        return file.read(*_range_of(key)).filter(pl.col(KEY) == key)


def _range_of(key: str) -> tuple[int, int]:
    wanted = pl.DataFrame({KEY: [key]}).select(key_hash()).item()
    return wanted, wanted + 1


def _standing(known: _Known) -> str:
    """Membership, and what is known of the destination."""
    if known.state is None and known.run.follows:
        return (
            "it is in the audience, and shares its identifiers with another member: to the destination the two are "
            "one, and the other is sent"
        )
    if known.state is None:
        return {
            True: "it is in the audience, and the destination does not hold it",
            False: "it is not in the audience, and the destination does not hold it",
            None: "nothing is known of it at the destination",
        }[known.member]
    inside = "it is in the audience" if known.member else "it is not in the audience"
    there = {
        State.HELD: "the destination acknowledged holding it",
        State.KNOWN: "it is part of the baseline: never sent, and removed from the destination once it leaves",
        State.ADD_UNCONFIRMED: "it was sent and no answer came, so the destination may hold it",
        State.UPDATE_UNCONFIRMED: "the destination holds it; its last update went unanswered and is sent again",
        State.REMOVE_UNCONFIRMED: "its removal was sent and no answer came, so the destination may still hold it",
    }[known.state]
    if known.pending:
        there = "it was sent, and the destination has not said yet what became of it"
    return f"{inside}, and {there}"


def _reasons(known: _Known, sync: Sync) -> Iterator[str]:
    """Why that is so, and what comes next."""
    if known.pending:
        yield "Nothing more is sent for it until the destination's verdict is there."
    if known.run.invalid is not None:
        yield f"It could not be sent: {known.run.invalid}."
    if known.run.held:
        yield f"A change of it is due and was held back by the guard: see `zsync plan {sync.id}`."
    elif known.state not in (None, State.KNOWN) and not known.member and not known.pending:
        yield (
            "It stays there: an additive sync removes nobody."
            if sync.sync_mode is SyncMode.ADDITIVE
            else "Its removal is due: it was refused, not answered, or another member has the same identifier."
        )
    for refused in known.refusals:
        row = refused.row
        yield (
            f"The destination refused to {row.op} it, {_times(row.attempts)}, last on {utc_text(row.last_at)}: "
            f"{row.reason}."
        )
        if refused.parked and row.op == "remove":
            yield "The removal is tried again after a pause, which grows up to a day."
        elif refused.parked:
            yield (
                f"It is not tried again until something about it changes; `zsync rejections {sync.id} --retry` tries "
                "it once more."
            )


def _times(count: int) -> str:
    return {1: "once", 2: "twice"}.get(count, f"{count} times")
