"""Keep a lease or a claim while a block of work lasts."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import sqlalchemy as sa

from zsync_pipelines.errors import StorageError, ZsyncError
from zsync_pipelines.store import leases


@contextmanager
def renewing(renew: Callable[[], None], lost: type[ZsyncError], name: str) -> Iterator[None]:
    """Call `renew` every `leases.RENEW_SECONDS` in a thread of that name, until it raises `lost` or the block ends."""
    stop = threading.Event()

    def beat() -> None:
        while not stop.wait(leases.RENEW_SECONDS):
            try:
                renew()
            except lost:
                return
            except (sa.exc.SQLAlchemyError, StorageError):
                continue  # the database may come back before what is held runs out

    thread = threading.Thread(target=beat, name=name, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
