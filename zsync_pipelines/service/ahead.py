"""Making the next piece while the last one is worked on: two cores share what one would do in turns."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

A = TypeVar("A")
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


def side_by_side(work: Callable[[A], T], arguments: Iterable[A], workers: int) -> Iterator[T]:
    """The results of `work`, in order, made by so many threads at once; a few are held at most."""
    with ThreadPoolExecutor(workers, thread_name_prefix="beside") as pool:
        running: deque[Future[T]] = deque()
        for argument in arguments:
            running.append(pool.submit(work, argument))
            if len(running) > workers:
                yield running.popleft().result()
        while running:
            yield running.popleft().result()


def _next(items: Iterator[T]) -> tuple[T] | None:
    """The next item in a tuple, or None after the last: a future cannot carry StopIteration."""
    for item in items:
        return (item,)
    return None
