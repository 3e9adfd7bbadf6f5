"""What the databases share that are files on this machine."""

from __future__ import annotations

from pathlib import Path

from zsync_pipelines.destinations.sql.backend import Backend
from zsync_pipelines.errors import UnreachableError


class FileBackend(Backend):
    """A database that is a file on this machine."""

    folds_case = True

    @property
    def path(self) -> Path:
        """Where it lies."""
        return Path(self.url.database or "")

    def require_folder(self) -> None:
        """UnreachableError if the file cannot be made because its folder is missing."""
        folder = self.path.parent
        if not folder.is_dir():
            raise UnreachableError(
                f"{self.describe_self()}: there is no folder '{folder}'; create it or correct the url"
            )
