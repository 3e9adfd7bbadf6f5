"""Work that an interrupt does not break half-way: Ctrl-C, or Dagster terminating a run."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from typing import TypeVar

T = TypeVar("T")

_LOOK_SECONDS = 0.1
"""How often the main thread looks whether it was interrupted: signals end no wait of it while polars handles them."""


def undisturbed(work: Callable[[], T], interrupted: Callable[[], object] = lambda: None) -> T:
    """Do work in a thread of its own, and give what it gives.

    An interrupt comes to the main thread, wherever that is: half-way in a request it would leave rows of which nobody
    knows, and half-way in a transaction a receipt that is not recorded, or a database that stays locked. Here it only
    ends the wait: `interrupted` is called, so that the work can end early, and once it has ended the interrupt is
    raised. So it is when the work fails, with what it raised.
    """
    with ThreadPoolExecutor(1, thread_name_prefix="undisturbed") as pool:
        try:
            done = pool.submit(work)
            while not wait([done], timeout=_LOOK_SECONDS).done:
                continue
            return done.result()
        except BaseException:
            interrupted()
            raise
