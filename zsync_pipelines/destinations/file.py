"""The `file` destination: each run's changes as files, or one file with every member, in a folder or a bucket.

Nothing that a reader sees is ever half written: files are staged, and put in place when they are complete (`places`
knows how). Of a run's changes the manifest comes last, so a folder without one does not count.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, ClassVar

import pyarrow as pa
from pydantic import Field, SecretStr, ValidationInfo, field_validator

from zsync_pipelines.destinations.formats import WRITERS, Format, Writer
from zsync_pipelines.destinations.places.choose import judge_options, judge_url, kind_of
from zsync_pipelines.domain.capabilities import Capabilities, RowResults, TargetFields
from zsync_pipelines.domain.delivery import Batch, Op, Receipt
from zsync_pipelines.domain.destination import CheckStep, Destination, DestinationSettings, Holdings, SyncShape
from zsync_pipelines.domain.secrecy import SecretUrl
from zsync_pipelines.errors import TargetMissingError

_NAMES = {Op.ADD: "adds", Op.UPDATE: "updates", Op.REMOVE: "removes"}


class Layout(StrEnum):
    """What the folder holds: each run's changes, or every member in one file."""

    DELTAS = "deltas"
    SNAPSHOT = "snapshot"


class FileSettings(DestinationSettings):
    """`url`: a folder, a bucket or an SFTP server. `options`: how to connect there; any of them may be a secret."""

    url: SecretUrl
    format: Format = Format.CSV
    layout: Layout = Layout.DELTAS
    options: Mapping[str, SecretStr] = Field(default_factory=dict)

    @field_validator("url")
    @classmethod
    def _a_place(cls, value: SecretStr) -> SecretStr:
        judge_url(value.get_secret_value())
        return value

    @field_validator("options", mode="before")
    @classmethod
    def _as_text(cls, value: Any) -> Any:
        """YAML reads `true` and `5` as what they are; the libraries take text."""
        if not isinstance(value, Mapping):
            return value
        return {name: json.dumps(given) if isinstance(given, bool | int) else given for name, given in value.items()}

    @field_validator("options")
    @classmethod
    def _of_the_place(cls, value: Mapping[str, SecretStr], info: ValidationInfo) -> Mapping[str, SecretStr]:
        if "url" in info.data:
            judge_options(info.data["url"].get_secret_value(), value)
        return value


class FileDestination(Destination[FileSettings]):
    """Files at a place. Rows count once `finish` has put the files of the run in place."""

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
        url = settings.url.get_secret_value()
        self._place = kind_of(url)(url, settings.options)
        self._writers: dict[Op, Writer] = {}
        self._sent = False

    @classmethod
    def target(cls, settings: FileSettings, sync_id: str) -> Mapping[str, str]:
        """The sync's folder, and what its files look like: another format or layout starts from nothing."""
        url = settings.url.get_secret_value()
        return {
            **kind_of(url).target(url, settings.options),
            "folder": sync_id,
            "layout": settings.layout.value,
            "format": settings.format.value,
        }

    def check(self) -> Iterator[CheckStep]:
        """Whether the place is reached, and files can be written there, as far as that is seen without writing."""
        yield from self._place.check()

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
        self._shape, self._run_id, self._folder = shape, run_id, shape.sync_id
        self._place.clear(self._folder)

    def send(self, batch: Batch) -> Receipt:
        """Append the batch to its operation's staged file. In the snapshot layout the rows come with the whole."""
        self._sent = self._sent or len(batch) > 0
        if self.settings.layout is Layout.DELTAS and len(batch) > 0:
            with self._place.writing(self._folder):
                self._writer(batch).write(batch.table)
        return batch.pending()

    def lookup(self, batch: Batch) -> Receipt | None:
        """Whether the run's manifest is there. Of a snapshot nobody can tell which run's rows it holds, so the rows
        count as refused; they may be in the file all the same, so the next run is told to write it again."""
        if self.settings.layout is Layout.SNAPSHOT:
            self._place.outdate(batch.sync_id, self._file_name("members"))
        elif self._place.has_run(batch.sync_id, batch.run_id):
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
        self._place.discard()

    def _publish_changes(self) -> None:
        with self._place.writing(self._folder):
            for writer in self._writers.values():
                writer.close()
            manifest = json.dumps(self._manifest(), ensure_ascii=False, indent=2).encode() + b"\n"
        names = [writer.path.name for writer in self._writers.values()]
        self._place.put_run(self._folder, self._run_id, names, manifest)

    def _replace_members(self, holdings: Holdings) -> None:
        name = self._file_name("members")
        if not self._sent and self._place.is_current(self._folder, name):
            return
        with self._place.writing(self._folder):
            writer = self._new_writer(name, self._shape.payload)
            try:
                for part in holdings():
                    writer.write(pa.Table.from_batches([part]))
                writer.close()
            finally:
                writer.discard()
        self._place.replace(self._folder, self._run_id, name)

    def _writer(self, batch: Batch) -> Writer:
        if batch.op not in self._writers:
            # A remove carries the fields as they were last delivered, perhaps under a former mapping.
            payload = _payload_of(batch) if batch.op is Op.REMOVE else self._shape.payload
            self._writers[batch.op] = self._new_writer(self._file_name(_NAMES[batch.op]), payload)
        return self._writers[batch.op]

    def _new_writer(self, name: str, payload: pa.Schema) -> Writer:
        shape, stage = self._shape, self._place.staging(self._folder, self._run_id)
        return WRITERS[self.settings.format](stage / name, shape.key_name, shape.key_type, payload)

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
