"""A bare COPY of the members out of the source; the bytes are thrown away. It is no sync: nothing can be faster."""

from __future__ import annotations

import psycopg
from measured import MEMBERS, At, contest


def copy_out(at: At) -> None:
    with psycopg.connect(at.url) as source, source.cursor().copy(f"COPY ({MEMBERS}) TO STDOUT") as out:
        for _ in out:
            pass


if __name__ == "__main__":
    contest(copy_out, copy_out)
