"""Keep members' values out of a destination's reasons, which are stored and shown."""

from __future__ import annotations

from dataclasses import replace

import polars as pl

from zsync_pipelines.domain.delivery import Batch, Outcome, Receipt
from zsync_pipelines.domain.keys import KEY
from zsync_pipelines.engine.frames import payload_columns

_SHORTEST = 3
"""Values shorter than this are too common in any sentence to be taken for a leak."""


def scrubbed(batch: Batch, receipt: Receipt) -> Receipt:
    """The receipt with `***` for every field value of a refused row that its reason repeats."""
    refused = [key for key, result in receipt.exceptions.items() if result.outcome is Outcome.REJECTED]
    if not refused:
        return receipt
    rows = pl.DataFrame(batch.table).filter(pl.col(KEY).is_in(refused))
    texts = rows.select(KEY, *(pl.col(name).cast(pl.String) for name in payload_columns(rows.columns)))
    values = {row[0]: sorted({v for v in row[1:] if v}, key=len, reverse=True) for row in texts.iter_rows()}
    exceptions = dict(receipt.exceptions)
    for key in refused:
        reason = exceptions[key].reason or ""
        for value in values.get(key, []):
            if len(value) >= _SHORTEST:
                reason = reason.replace(value, "***")
        exceptions[key] = replace(exceptions[key], reason=reason)
    return replace(receipt, exceptions=exceptions)
