"""Folders of the `file` destination: durable names, leftovers of dead runs, and what the system's refusals mean."""

from __future__ import annotations

import errno
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from zsync_pipelines.errors import OutcomeUnknownError, TargetMissingError, UnreachableError

MANIFEST = "manifest.json"
_OURS = re.compile(r"((adds|updates|removes|members)\.(csv|jsonl|parquet)(\.narrow)?|\.?manifest\.json)")
_MISSING = frozenset({errno.ENOENT, errno.ENOTDIR, errno.EEXIST, errno.EISDIR, errno.ENOTEMPTY})


def folder_fault(root: Path) -> str | None:
    """Why files cannot be written below `root`, if so. Looks only."""
    place = root.absolute()
    while not place.exists() and place != place.parent:
        place = place.parent
    if not place.is_dir():
        return f"{place} is no folder; give `url` another path"
    if not os.access(place, os.W_OK | os.X_OK):
        return f"no permission to write in {place}; grant it to the user that zsync runs as"
    return None


def clear_leftovers(folder: Path) -> None:
    """Delete staging folders, and run folders without a manifest: they never counted. What is not ours stays."""
    for entry in list(folder.iterdir()) if folder.exists() else []:
        if entry.is_symlink() or not entry.is_dir() or (entry / MANIFEST).exists():
            continue
        names = [found.name for found in entry.iterdir()]
        staged = entry.name.startswith(".") and entry.name.endswith(".tmp")
        if (names or staged) and all(_OURS.fullmatch(name) for name in names):
            shutil.rmtree(entry)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # some network file systems cannot, and need not
            raise
    finally:
        os.close(handle)


@contextmanager
def disk(place: Path) -> Iterator[None]:
    """Say what the system refused, where, and what to do."""
    try:
        yield
    except OSError as error:
        where, why = error.filename or place, error.strerror or type(error).__name__
        if error.errno in _MISSING:
            raise TargetMissingError(f"{where}: {why}; check that `url` names a folder that zsync can use") from error
        raise UnreachableError(f"{where}: {why}; check the disk's space and the folder's permissions") from error


@contextmanager
def in_place(place: Path) -> Iterator[None]:
    """From here on readers see the files, so a failure no longer means that nothing was applied."""
    try:
        yield
    except OSError as error:
        why = error.strerror or type(error).__name__
        raise OutcomeUnknownError(f"{place}: {why}; the files are there, but may not survive a power cut") from error
