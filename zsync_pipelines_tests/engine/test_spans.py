"""Spans say of every row what painting an array row by row would."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from zsync_pipelines.engine.spans import Spans

ROWS = 40
spans = st.tuples(st.integers(0, ROWS), st.integers(0, ROWS)).map(sorted).filter(lambda pair: pair[0] < pair[1])


@given(st.lists(st.tuples(spans, st.integers(1, 5)), max_size=12), spans)
def test_later_spans_stand_in_the_place_of_earlier_ones(puts, window):
    found = Spans(ROWS)
    codes, batches = [0] * ROWS, [-1] * ROWS
    for number, ((start, stop), code) in enumerate(puts):
        found.put(start, stop, code, number)
        codes[start:stop] = [code] * (stop - start)
        batches[start:stop] = [number] * (stop - start)
    low, high = window
    got = found.at(low, high - low)
    assert (got[0].to_list(), got[1].to_list()) == (codes[low:high], batches[low:high])
    assert found.count([2, 3]) == sum(code in (2, 3) for code in codes)
    only_even = found.recoded(lambda code, batch: code if batch % 2 == 0 else 0).at(0, ROWS)[0].to_list()
    assert only_even == [code if batch % 2 == 0 else 0 for code, batch in zip(codes, batches, strict=True)]
