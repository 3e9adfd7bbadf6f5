"""The `file` destination: a folder that takes each run's changes as files, or one file with every member.

Nothing that a reader sees is ever half written: files are staged in a hidden folder beside their place and renamed
when they are complete and durable. Of a run's changes the manifest comes last, so a folder without one does not count.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, ClassVar
from urllib.request import url2pathname

import pyarrow as pa
from pydantic import field_validator

from zsync_pipelines.destinations.folders import MANIFEST, clear_leftovers, disk, folder_fault, in_place, sync_folder
from zsync_pipelines.destinations.formats import WRITERS, Format, Writer, create_private
from zsync_pipelines.domain.capabilities import Capabilities, RowResults, TargetFields
from zsync_pipelines.domain.delivery import Batch, Op, Receipt
from zsync_pipelines.domain.destination import (
    CheckStatus,
    CheckStep,
    Destination,
    DestinationSettings,
    Holdings,
    SyncShape,
)
from zsync_pipelines.errors import TargetMissingError

_REWRITE = ".rewrite"
_NAMES = {Op.ADD: "adds", Op.UPDATE: "updates", Op.REMOVE: "removes"}


class Layout(StrEnum):
    """What the folder holds: each run's changes, or every member in one file."""

    DELTAS = "deltas"
    SNAPSHOT = "snapshot"


class FileSettings(DestinationSettings):
    """`url`: a folder, as a path or a `file://` URL."""

    url: str
    format: Format = Format.CSV
    layout: Layout = Layout.DELTAS

    @field_validator("url")
    @classmethod
    def _a_folder(cls, url: str) -> str:
        folder_of(url)
        return url


def folder_of(url: str) -> Path:
    """The folder that a `url` setting names. Raises ValueError if it names none."""
    scheme, separator, rest = url.partition("://")
    if not separator:
        if not url.strip() or "\0" in url:
            raise ValueError("must be the path of a folder")
        return Path(url)
    if scheme.lower() != "file":
        raise ValueError(f"{scheme}:// is not supported yet, use a folder")
    path = rest.removeprefix("localhost")
    if not path.startswith(("/", "${")):
        raise ValueError("a file:// URL needs three slashes and an absolute path, like file:///data/out")
    if "%00" in path or "\0" in path:
        raise ValueError("must be the path of a folder")
    return Path(url2pathname(path))


class FileDestination(Destination[FileSettings]):
    """Files in a folder. Rows count once `finish` has put the files of the run in place."""

    settings_type: ClassVar[type[DestinationSettings]] = FileSettings
    type: ClassVar[str] = "file"
    capabilities: ClassVar[Capabilities] = Capabilities(
        operations=frozenset(Op),
        row_results=RowResults.PER_ROW,
        max_batch_rows=100_000,
        whole=True,
        keeps_receipts=True,
    )

    def __init__(self, settings: FileSettings) -> None:
        super().__init__(settings)
        self._root = folder_of(settings.url)
        self._writers: dict[Op, Writer] = {}
        self._sent = False
        self._stage: Path | None = None

    @classmethod
    def target(cls, settings: FileSettings, sync_id: str) -> Mapping[str, str]:
        """The sync's folder, and what its files look like: another format or layout starts from nothing."""
        return {
            "url": settings.url,
            "folder": sync_id,
            "layout": settings.layout.value,
            "format": settings.format.value,
        }

    def check(self) -> Iterator[CheckStep]:
        """One step: the folder can be written to, or can be created."""
        try:
            fault = folder_fault(self._root)
        except OSError as error:
            fault = f"{error.filename or self._root}: {error.strerror}; grant access to the user that zsync runs as"
        yield CheckStep("folder", CheckStatus.FAILED if fault else CheckStatus.OK, fault or str(self._root))

    def fields(self, shape: SyncShape) -> TargetFields:
        """Any field and any value, but no field may be named like the key."""
        if shape.key_name in shape.payload.names:
            raise TargetMissingError(
                f"the destination field '{shape.key_name}' has the name of the entity key's column; "
                "rename the field in the sync's mapping"
            )
        return TargetFields()

    def open(self, shape: SyncShape, run_id: str) -> None:
        """Clear away what dead runs left; folders are created when there is something to write."""
        self.fields(shape)
        self._shape, self._run_id = shape, run_id
        self._folder = self._root / shape.sync_id
        with disk(self._folder):
            clear_leftovers(self._folder)

    def send(self, batch: Batch) -> Receipt:
        """Append the batch to its operation's staged file. In the snapshot layout the rows come with the whole."""
        self._sent = self._sent or len(batch) > 0
        if self.settings.layout is Layout.DELTAS and len(batch) > 0:
            with disk(self._folder):
                self._writer(batch).write(batch.table)
        return batch.pending()

    def lookup(self, batch: Batch) -> Receipt | None:
        """Whether the run's manifest is there. Of a snapshot nobody can tell which run's rows it holds, so the rows
        count as refused; they may be in the file all the same, so the next run is told to write it again."""
        folder = self._root / batch.sync_id
        with disk(folder):
            if self.settings.layout is Layout.SNAPSHOT:
                if (folder / self._file_name("members")).exists():
                    (folder / _REWRITE).touch(0o640)
                    sync_folder(folder)
            elif (folder / batch.run_id / MANIFEST).is_file():
                return batch.accept_all()
        return batch.never_arrived()

    def finish(self, holdings: Holdings) -> None:
        """Put the run's files in place, the manifest last; or replace the one file that holds every member."""
        if self.settings.layout is Layout.SNAPSHOT:
            self._replace_members(holdings)
        elif self._sent:
            self._publish_changes()

    def close(self) -> None:
        """Close the files and drop what was not put in place."""
        for writer in self._writers.values():
            with suppress(OSError):
                writer.discard()
        self._writers = {}
        if self._stage is not None:
            shutil.rmtree(self._stage, ignore_errors=True)
            self._stage = None

    def _publish_changes(self) -> None:
        final = self._folder / self._run_id
        with disk(self._folder):
            stage = self._staging()
            for writer in self._writers.values():
                writer.close()
            manifest = self._manifest()
            sync_folder(stage)
            stage.rename(final)
            self._stage = None
            sync_folder(self._folder)
            hidden = final / f".{MANIFEST}"
            with create_private(hidden) as file:
                file.write(json.dumps(manifest, ensure_ascii=False, indent=2).encode() + b"\n")
                file.flush()
                os.fsync(file.fileno())
            hidden.rename(final / MANIFEST)
        with in_place(final):
            sync_folder(final)

    def _replace_members(self, holdings: Holdings) -> None:
        name = self._file_name("members")
        members, rewrite = self._folder / name, self._folder / _REWRITE
        with disk(self._folder):
            if not self._sent and members.exists() and not rewrite.exists():
                return
            writer = self._new_writer(name, self._shape.payload)
            try:
                for part in holdings():
                    writer.write(pa.Table.from_batches([part]))
                writer.close()
            finally:
                writer.discard()
            writer.path.replace(members)
        with in_place(members):
            sync_folder(self._folder)
            rewrite.unlink(missing_ok=True)

    def _writer(self, batch: Batch) -> Writer:
        if batch.op not in self._writers:
            # A remove carries the fields as they were last delivered, perhaps under a former mapping.
            payload = _payload_of(batch) if batch.op is Op.REMOVE else self._shape.payload
            self._writers[batch.op] = self._new_writer(self._file_name(_NAMES[batch.op]), payload)
        return self._writers[batch.op]

    def _new_writer(self, name: str, payload: pa.Schema) -> Writer:
        shape = self._shape
        return WRITERS[self.settings.format](self._staging() / name, shape.key_name, shape.key_type, payload)

    def _staging(self) -> Path:
        if self._stage is None:
            stage = self._folder / f".{self._run_id}.tmp"
            stage.mkdir(parents=True)
            self._stage = stage
            sync_folder(self._root)
        return self._stage

    def _file_name(self, stem: str) -> str:
        return f"{stem}.{self.settings.format.value}"

    def _manifest(self) -> dict[str, Any]:
        return {
            "sync_id": self._shape.sync_id,
            "run_id": self._run_id,
            "format": self.settings.format.value,
            "created_at": datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
            "key": self._shape.key_name,
            "fields": self._shape.payload.names,
            "files": [_described(op, writer) for op, writer in self._writers.items()],
        }


def _payload_of(batch: Batch) -> pa.Schema:
    return pa.schema([(name, batch.column(name).type) for name in batch.fields])


def _described(op: Op, writer: Writer) -> dict[str, Any]:
    with writer.path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    size = writer.path.stat().st_size
    return {"name": writer.path.name, "operation": op.value, "rows": writer.rows, "bytes": size, "sha256": digest}
