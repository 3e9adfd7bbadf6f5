"""Whether two runs speak of the same entities: the key column and its type."""

from __future__ import annotations

import polars as pl

from zsync_pipelines.domain.keys import KEY, KeyType
from zsync_pipelines.errors import KeyChangedError

_CANONICAL = {
    KeyType.INTEGER: r"^(0|-?[1-9][0-9]*)$",
    KeyType.UUID: r"^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$",
}
_HOW = "run once with --rebaseline (the destination already holds these keys) or --full-resync (send everybody again)"


def check_key_column(before: str, now: str) -> None:
    """KeyChangedError when the entity key is another column than in the snapshot."""
    if before != now:
        raise KeyChangedError(f"the entity key was '{before}' and is now '{now}'; {_HOW}")


def check_key_types(before: KeyType, now: KeyType, snapshot: pl.DataFrame, membership: pl.DataFrame) -> None:
    """KeyChangedError unless every key on the side that became (or was) text is the other type's canonical text.

    `1` as text and 1 as integer are one member; `0001` is not, and every member would leave and enter anew.
    """
    if before is now or snapshot.is_empty():
        return
    text_side = {KeyType.TEXT: membership} if now is KeyType.TEXT else {KeyType.TEXT: snapshot}
    other = before if now is KeyType.TEXT else now
    if KeyType.TEXT not in (before, now):
        raise KeyChangedError(f"the entity key was {before} and is now {now}: no key is the same; {_HOW}")
    strange = text_side[KeyType.TEXT].filter(~pl.col(KEY).str.contains(_CANONICAL[other]))
    if not strange.is_empty():
        raise KeyChangedError(
            f"the entity key was {before} and is now {now}, and {strange.height} text keys are no canonical {other} "
            f"(such as {strange[KEY][0]!r}): they would be other members; {_HOW}"
        )
