"""The contract of a place: one kind of storage in which each sync has a folder of files below one URL.

Files are written in a staging folder of this machine, and shown to readers when they are complete. A run's files count
once its manifest is there; a file of members is replaced whole.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import ClassVar

from pydantic import SecretStr

from zsync_pipelines.domain.destination import CheckStep

Options = Mapping[str, SecretStr]
"""The setting `options`: how to connect. Any of them may be a secret."""


class Place(ABC):
    """Where files lie. `folder` is always a sync's folder below the URL. Connects when it is used, not before.

    Methods that change something raise OutcomeUnknownError when nobody knows whether readers see the change, and
    another DestinationError when it is certain that they do not.
    """

    option_names: ClassVar[frozenset[str] | None] = frozenset()
    """Options that the place takes; None where a library judges their names when it connects."""

    def __init__(self, url: str, options: Options) -> None:
        self.url = url
        self.options = options

    @classmethod
    @abstractmethod
    def judge(cls, url: str) -> None:
        """ValueError, whose text holds nothing of the URL, if it names no place of this kind. Looks at the text only,
        in which there may be `${NAME}`s."""

    @classmethod
    @abstractmethod
    def judge_options(cls, url: str, options: Options) -> None:
        """The same of the options, whose names are known ones."""

    @classmethod
    @abstractmethod
    def target(cls, url: str, options: Options) -> Mapping[str, str]:
        """What tells this place from any other, without secrets; both may hold `${NAME}`s."""

    @abstractmethod
    def check(self) -> Iterator[CheckStep]:
        """Check step by step, changing nothing; end at the first failure."""

    @abstractmethod
    def clear(self, folder: str) -> None:
        """Delete what dead runs left: staged files, and run folders without a manifest. What is not ours stays."""

    @abstractmethod
    def staging(self, folder: str, run_id: str) -> Path:
        """A folder of this machine, the run's own, in which files are written; the same one until `discard`."""

    @abstractmethod
    def writing(self, folder: str) -> AbstractContextManager[None]:
        """Say what it means if the system refuses to write a staged file."""

    @abstractmethod
    def put_run(self, folder: str, run_id: str, names: Sequence[str], manifest: bytes) -> None:
        """Show the staged files of these names as the run's, then its manifest."""

    @abstractmethod
    def has_run(self, folder: str, run_id: str) -> bool:
        """Whether the run's manifest is there."""

    @abstractmethod
    def replace(self, folder: str, run_id: str, name: str) -> None:
        """Put the staged file in the place of the one of that name. That it should be written again is done with."""

    @abstractmethod
    def is_current(self, folder: str, name: str) -> bool:
        """Whether the file is there, and need not be written again."""

    @abstractmethod
    def outdate(self, folder: str, name: str) -> None:
        """If the file is there, let the next run write it again."""

    @abstractmethod
    def discard(self) -> None:
        """Delete the staging folder and what is still in it. Safe to call twice."""
