"""Folders for data that does not fit into memory. They go with the run; those of a killed process go with the next."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_PREFIX, _LOCK = "run-", "lock"


@contextmanager
def temporary_folder(parent: Path) -> Iterator[Path]:
    """A folder of this process alone, inside `parent`, for the length of the block."""
    parent.mkdir(parents=True, exist_ok=True)
    remove_abandoned(parent)
    # Locked before it has its name, so that nobody takes it for abandoned.
    made = Path(tempfile.mkdtemp(prefix=".new-", dir=parent))
    lock = os.open(made / _LOCK, os.O_CREAT | os.O_RDWR, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        folder = made.rename(parent / (_PREFIX + made.name.removeprefix(".new-")))
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    finally:
        os.close(lock)


def remove_abandoned(parent: Path) -> None:
    """Delete the folders whose processes are gone: the system gave their locks back."""
    for folder in parent.glob(f"{_PREFIX}*"):
        with suppress(OSError):  # another process deletes it, or it is another user's
            lock = os.open(folder / _LOCK, os.O_RDWR)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)
            finally:
                os.close(lock)
