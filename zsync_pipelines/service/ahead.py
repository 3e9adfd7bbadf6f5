"""Making the next piece while the last one is worked on: two cores share what one would do in turns."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


def ahead(items: Iterable[T]) -> Iterator[T]:
    """The items, each made in a thread of its own while the caller works on the one before; one is held at most.

    Polars, Arrow and the databases let other threads go on while they work. What fails there is raised here.
    """
    made = iter(items)
    with ThreadPoolExecutor(1, thread_name_prefix="ahead") as pool:
        following = pool.submit(_next, made)
        while (item := following.result()) is not None:
            following = pool.submit(_next, made)
            yield item[0]


def _next(items: Iterator[T]) -> tuple[T] | None:
    """The next item in a tuple, or None after the last: a future cannot carry StopIteration."""
    for item in items:
        return (item,)
    return None
