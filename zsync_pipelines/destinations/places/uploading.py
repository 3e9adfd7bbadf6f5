"""What places elsewhere have in common: files are staged in a temporary folder of this machine, then uploaded."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from abc import abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar

from zsync_pipelines.destinations.places.place import Options, Place
from zsync_pipelines.domain.destination import CheckStatus, CheckStep
from zsync_pipelines.errors import ConfigError, CredentialsError, DestinationError, TargetMissingError, UnreachableError


class UploadingPlace(Place):
    """A place that is reached over a network.

    `noun`: what the URL names there. `shown`: how messages name it; never a secret.
    """

    noun: ClassVar[str]
    shown: str

    def __init__(self, url: str, options: Options) -> None:
        super().__init__(url, options)
        self._stage: Path | None = None

    def check(self) -> Iterator[CheckStep]:
        """Three steps that one look answers: it is reached, takes the credentials, and holds what the URL names."""
        steps = {"reach": UnreachableError, "credentials": CredentialsError, self.noun: TargetMissingError}
        failure: DestinationError | None = None
        try:
            found = self.look()
        except DestinationError as error:
            failure = error
        for name, kind in steps.items():
            last = name == self.noun
            if failure is not None and (last or isinstance(failure, kind)):
                yield CheckStep(name, CheckStatus.FAILED, str(failure))
                return
            yield CheckStep(name, CheckStatus.OK, found if last else "")

    @abstractmethod
    def look(self) -> str:
        """Connect and look, changing nothing; what was found. Raises as the steps of `check` say."""

    def clear(self, folder: str) -> None:
        """Also deletes what dead runs of the same target staged on this machine."""
        with self.writing(folder):
            for stale in Path(tempfile.gettempdir()).glob(f"{self._staging_prefix(folder)}*"):
                if not stale.is_symlink() and stale.is_dir() and stale.stat().st_uid == os.geteuid():
                    shutil.rmtree(stale)
        self.clear_uploads(folder)

    @abstractmethod
    def clear_uploads(self, folder: str) -> None:
        """Delete what dead runs left at the place."""

    def staging(self, folder: str, run_id: str) -> Path:
        if self._stage is None:
            self._stage = Path(tempfile.mkdtemp(prefix=self._staging_prefix(folder)))  # for nobody but this user
        return self._stage

    @contextmanager
    def writing(self, folder: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            where, why = error.filename or tempfile.gettempdir(), error.strerror or type(error).__name__
            raise UnreachableError(
                f"{where}: {why}; files are made ready there before they are uploaded: check the disk's space and the "
                "folder's permissions, or name another folder in the environment variable TMPDIR"
            ) from error

    def discard(self) -> None:
        if self._stage is not None:
            shutil.rmtree(self._stage, ignore_errors=True)
            self._stage = None

    def _staging_prefix(self, folder: str) -> str:
        """Tells the staging folders of one sync to one place from all others."""
        return f"zsync-{hashlib.sha256(f'{self.shown}/{folder}'.encode()).hexdigest()[:16]}-"


def not_installed(library: str, extra: str) -> ConfigError:
    """A library that only this kind of place needs is missing."""
    return ConfigError(f"'{library}' is not installed, which this url needs; pip install 'zsync-pipelines[{extra}]'")
