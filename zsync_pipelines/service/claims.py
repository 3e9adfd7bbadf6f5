"""Find out who shares identifiers with whom, over all ranges, before anything is decided (`engine.identifiers`).

Only identifiers of members that may be sent and of rows that may be taken out are looked at: a run without changes
costs nothing here. Claims are brought together by way of the disk, so that memory is bounded by a range of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import polars as pl

from zsync_pipelines.domain.config import SyncMode
from zsync_pipelines.domain.keys import KEY, KEY_HASH
from zsync_pipelines.engine.differ import CHANGED
from zsync_pipelines.engine.frames import MEMBER, STATE, State, empty_frame
from zsync_pipelines.engine.identifiers import SHARED_COLUMNS, Parties, combine, settle_claims
from zsync_pipelines.engine.policy import leaving
from zsync_pipelines.engine.sharing import Sharing
from zsync_pipelines.service.bootstrap import Zsync
from zsync_pipelines.service.compare import Compared, Comparison
from zsync_pipelines.store.frame_writing import frame_writer
from zsync_pipelines.store.frames import FrameFile
from zsync_pipelines.store.spill import Spill

_FEW = 4_000_000
"""Up to so many hashes of identifiers are held in memory, to leave out the claims that concern nobody."""


@dataclass(frozen=True, slots=True)
class Claims:
    """What was found out, by ranges; nothing where the destination does not know members by identifiers."""

    identifiers: Sequence[str]
    file: FrameFile | None

    @property
    def path(self) -> str | None:
        return None if self.file is None else self.file.path

    def of(self, compared: Compared, low: int, high: int) -> Sharing:
        """Who has to stand back in one range."""
        if not self.identifiers:
            return Sharing()
        shared = empty_frame(SHARED_COLUMNS) if self.file is None else self.file.read(low, high)
        return Sharing(self.identifiers, shared, compared.faulted)


@contextmanager
def find_claims(
    app: Zsync,
    comparison: Comparison,
    spans: Sequence[tuple[int, int]],
    folder: str,
    mode: SyncMode,
    *,
    full_resync: bool,
) -> Iterator[Claims]:
    """Look through all ranges. The result is a file in `folder`, open for the length of the block."""
    identifiers = comparison.identifiers
    if not identifiers:
        yield Claims((), None)
        return
    concerned = _Concerned()
    for low, high in spans:
        changing = _changing(comparison.read(low, high, whole=full_resync), mode, full_resync=full_resync)
        for found in changing.claims(identifiers):
            concerned.see(found)
    if concerned.nobody:
        yield Claims(identifiers, None)
        return
    path = f"{folder}/shared-identifiers.parquet"
    temporary, held = app.settings.temporary, app.settings.piece_bytes
    with Spill(temporary, held) as claims, Spill(temporary, held) as shared:
        for low, high in spans:
            for found in _everybody(comparison.read(low, high, whole=True), mode).claims(identifiers):
                claims.add(concerned.only(found))
        for found in claims.drain():
            shared.add(settle_claims(found, identifiers))
        with frame_writer(app.storage, path, empty_frame(SHARED_COLUMNS).to_arrow().schema) as writer:
            for rows in shared.drain():
                writer.write(combine(rows).sort(KEY_HASH, maintain_order=True))
    with FrameFile(app.storage, path) as file:
        yield Claims(identifiers, file)


class _Concerned:
    """The identifiers that matter, by hash; all of them where they are too many to hold."""

    def __init__(self) -> None:
        self._hashes: list[pl.DataFrame] | None = []
        self._count = 0

    @property
    def nobody(self) -> bool:
        return self._hashes is not None and self._count == 0

    def see(self, claims: pl.DataFrame) -> None:
        """These claims' identifiers matter."""
        if self._hashes is None:
            return
        self._count += claims.height
        self._hashes.append(claims.select(KEY_HASH))
        if self._count > _FEW:
            self._hashes = None

    def only(self, claims: pl.DataFrame) -> pl.DataFrame:
        """Those of the claims whose identifiers matter."""
        if self._hashes is None:
            return claims
        if len(self._hashes) > 1:
            self._hashes = [pl.concat(self._hashes).unique()]
        return claims.join(self._hashes[0], on=KEY_HASH, how="semi")


def _everybody(compared: Compared, mode: SyncMode) -> Parties:
    taken_out, staying = leaving(compared.diff, mode, Sharing((), faulted=compared.faulted))
    kept = pl.concat([compared.kept, staying.select(compared.kept.columns)])
    return Parties(compared.members, compared.in_play, kept, taken_out)


def _changing(compared: Compared, mode: SyncMode, *, full_resync: bool) -> Parties:
    """Members that may be sent, and rows that may be taken out."""
    everybody = _everybody(compared, mode)
    settled = ~pl.col(CHANGED) & pl.col(MEMBER) & (pl.col(STATE) == int(State.HELD)) & ~pl.lit(full_resync)
    quiet = compared.diff.stayed.filter(settled)
    busy = compared.members.join(quiet, on=KEY, how="anti", maintain_order="left")
    return Parties(busy, compared.in_play.clear(), compared.kept.clear(), everybody.leaving)
