"""Snapshot and run files: immutable files below one root, each written whole or not at all. The contract."""

from __future__ import annotations

import shutil
from abc import ABC, abstractmethod
from contextlib import AbstractContextManager
from pathlib import Path
from typing import IO, ClassVar

_COPIED_AT_ONCE = 8 << 20


class Storage(ABC):
    """Files under one root. Paths are relative, with slashes. StorageError when the root refuses, or cannot be reached.

    A folder is there as long as there are files below it. `is_remote`: each read is a request over a network, so few
    large ones are better than many small ones, and a file that is deleted can be read no further by who has it open.
    """

    is_remote: ClassVar[bool]

    @abstractmethod
    def replace(self, path: str) -> AbstractContextManager[IO[bytes]]:
        """Open a file for writing that appears under its name, complete and durable, only when the block succeeds."""

    @abstractmethod
    def open(self, path: str) -> IO[bytes]:
        """Open a file for random reads; FileNotFoundError if there is none."""

    def local(self, path: str) -> Path | None:
        """Where a file lies on this machine, for readers that work with a path; None if it lies elsewhere."""
        return None

    def copy(self, path: str, to: str) -> None:
        """Give a file's content a second name, which outlives the first; FileNotFoundError if there is no such file."""
        with self.open(path) as source, self.replace(to) as stream:
            shutil.copyfileobj(source, stream, _COPIED_AT_ONCE)

    @abstractmethod
    def size(self, path: str) -> int | None:
        """Bytes, or None if there is no such file."""

    @abstractmethod
    def files(self, folder: str) -> list[str]:
        """Paths of all files below a folder, in order; none if it does not exist."""

    @abstractmethod
    def folders(self, folder: str) -> list[str]:
        """Names of the folders directly inside a folder, in order."""

    @abstractmethod
    def oldest_folders(self, folder: str, keep: int) -> list[str]:
        """Names of the folders directly inside, by when a file was last put there, without the `keep` newest."""

    @abstractmethod
    def delete(self, path: str) -> None:
        """Delete a file; nothing happens if it is gone."""

    @abstractmethod
    def delete_folder(self, folder: str) -> None:
        """Delete a folder with everything in it; nothing happens if it is gone."""

    @abstractmethod
    def locate(self, path: str) -> str:
        """Where a path lies, for messages; never with a secret."""


def all_but_newest(ages: dict[str, float], keep: int) -> list[str]:
    """The names but for the `keep` of the highest numbers; the lowest first, equal ones by name."""
    ordered = sorted(ages, key=lambda name: (ages[name], name))
    return ordered[: max(0, len(ordered) - keep)]
