"""Snowflake as fakesnow emulates it, in this process."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

URL = "snowflake://fake:snow@account/SHOP/PUBLIC"


@contextmanager
def emulated_snowflake() -> Iterator[str]:
    """The URL of a database that is empty; connections of this process to Snowflake go there meanwhile."""
    import fakesnow
    import fakesnow.transforms

    with fakesnow.patch(), pytest.MonkeyPatch.context() as patch:
        # It makes several statements of a MERGE, whose temporary table cannot be part of a transaction; DuckDB, on
        # which it runs, has MERGE itself.
        patch.setattr(fakesnow.transforms, "merge", lambda expression: [expression])
        yield URL
