"""Folders of this machine: files are made ready in a hidden folder beside their place, made durable, and renamed."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.request import url2pathname

from zsync_pipelines.destinations.formats import FILE_MODE, create_private
from zsync_pipelines.destinations.places.names import MANIFEST, REWRITE, is_leftover, staging_folder
from zsync_pipelines.destinations.places.place import Options, Place
from zsync_pipelines.domain.destination import CheckStatus, CheckStep
from zsync_pipelines.errors import OutcomeUnknownError, TargetMissingError, UnreachableError

_MISSING = frozenset({errno.ENOENT, errno.ENOTDIR, errno.EEXIST, errno.EISDIR, errno.ENOTEMPTY})


class LocalPlace(Place):
    """A folder, as a path or a `file://` URL."""

    def __init__(self, url: str, options: Options) -> None:
        super().__init__(url, options)
        self._root = folder_of(url)
        self._stage: Path | None = None

    @classmethod
    def judge(cls, url: str) -> None:
        folder_of(url)

    @classmethod
    def judge_options(cls, url: str, options: Options) -> None:
        """A folder takes none."""

    @classmethod
    def target(cls, url: str, options: Options) -> Mapping[str, str]:
        return {"url": url}

    def check(self) -> Iterator[CheckStep]:
        """One step: the folder can be written to, or can be created."""
        try:
            fault = folder_fault(self._root)
        except OSError as error:
            fault = f"{error.filename or self._root}: {error.strerror}; grant access to the user that zsync runs as"
        yield CheckStep("folder", CheckStatus.FAILED if fault else CheckStatus.OK, fault or str(self._root))

    def clear(self, folder: str) -> None:
        place = self._root / folder
        with disk(place):
            for entry in list(place.iterdir()) if place.exists() else []:
                if entry.is_symlink() or not entry.is_dir() or (entry / MANIFEST).exists():
                    continue
                if is_leftover(entry.name, [found.name for found in entry.iterdir()]):
                    shutil.rmtree(entry)

    def staging(self, folder: str, run_id: str) -> Path:
        if self._stage is None:
            stage = self._root / folder / staging_folder(run_id)
            stage.mkdir(parents=True)
            self._stage = stage
            sync_folder(self._root)
        return self._stage

    @contextmanager
    def writing(self, folder: str) -> Iterator[None]:
        with disk(self._root / folder):
            yield

    def put_run(self, folder: str, run_id: str, names: Sequence[str], manifest: bytes) -> None:
        final = self._root / folder / run_id
        with disk(final.parent):
            stage = self.staging(folder, run_id)
            sync_folder(stage)
            stage.rename(final)
            self._stage = None
            sync_folder(final.parent)
            hidden = final / f".{MANIFEST}"
            with create_private(hidden) as file:
                file.write(manifest)
                file.flush()
                os.fsync(file.fileno())
            hidden.rename(final / MANIFEST)
        with in_place(final):
            sync_folder(final)

    def has_run(self, folder: str, run_id: str) -> bool:
        with disk(self._root / folder):
            return (self._root / folder / run_id / MANIFEST).is_file()

    def replace(self, folder: str, run_id: str, name: str) -> None:
        place = self._root / folder
        with disk(place):
            (self.staging(folder, run_id) / name).replace(place / name)
        with in_place(place / name):
            sync_folder(place)
            (place / REWRITE).unlink(missing_ok=True)

    def is_current(self, folder: str, name: str) -> bool:
        place = self._root / folder
        with disk(place):
            return (place / name).exists() and not (place / REWRITE).exists()

    def outdate(self, folder: str, name: str) -> None:
        place = self._root / folder
        with disk(place):
            if (place / name).exists():
                (place / REWRITE).touch(FILE_MODE)
                sync_folder(place)

    def discard(self) -> None:
        if self._stage is not None:
            shutil.rmtree(self._stage, ignore_errors=True)
            self._stage = None


def folder_of(url: str) -> Path:
    """The folder that a `url` setting names. Raises ValueError if it names none."""
    scheme, separator, rest = url.partition("://")
    if not separator:
        if not url.strip() or "\0" in url:
            raise ValueError("must be the path of a folder")
        return Path(url)
    path = rest.removeprefix("localhost")
    if not path.startswith(("/", "${")):
        raise ValueError(f"a {scheme}:// URL needs three slashes and an absolute path, like file:///data/out")
    if "%00" in path or "\0" in path:
        raise ValueError("must be the path of a folder")
    return Path(url2pathname(path))


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
