"""The `salesforce` destination: records of one object, with their fields, marked by a checkbox; by Bulk API 2.0.

| fact | source |
|---|---|
| 150 MB of base64 a job, which is 100 MB of CSV; 150,000,000 rows a day | Salesforce, Bulk API 2.0 limits |
| 10,000 rows an internal batch, 15,000 of those a day | Salesforce, Bulk API limits and allocations |
| a job that is `Open` is not processed; ended ones are kept for 7 days | Salesforce, how requests are processed |
| an empty value leaves a field as it is, `#N/A` clears it | second-hand (Salesforce, valid CSV record rows) |

A job is made and filled by `send`, and started by the first `poll`, when the ledger has its id: no job ever runs that
nobody knows of. Who opted out stays so: those fields are not offered.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, ClassVar

from zsync_pipelines.destinations.kit.calls import text
from zsync_pipelines.destinations.kit.connector import Step
from zsync_pipelines.destinations.kit.normalise import EMAIL
from zsync_pipelines.destinations.salesforce.api import Columns, SalesforceApi, SalesforceSettings, as_csv, code_of
from zsync_pipelines.domain.capabilities import Capabilities, FieldSpec, FieldType, Identity
from zsync_pipelines.domain.delivery import Batch, Op, Receipt, Rejection
from zsync_pipelines.errors import CredentialsError, OutcomeUnknownError, TargetMissingError, TryAgainError

_NOT_FOUND = 404
_NULL = "#N/A"
_ASKED_AT_ONCE = 100
"""Values in one query, whose address may have 16,384 bytes."""
_MAYBE_LATER = {"UNABLE_TO_LOCK_ROW", "REQUEST_LIMIT_EXCEEDED", "SERVER_UNAVAILABLE", "STORAGE_LIMIT_EXCEEDED"}
_GONE = {"ENTITY_IS_DELETED", "INVALID_CROSS_REFERENCE_KEY"}
"""Errors for which a removal has nothing left to remove."""
_OPT_OUTS = {"HasOptedOutOfEmail", "HasOptedOutOfFax", "DoNotCall"}
_KEY_TYPES = ("string", "email")
_ENDED = ("JobComplete", "Failed", "Aborted")
_ESCAPES = str.maketrans({"\\": r"\\", "'": r"\'", "\n": r"\n"})
_FIELDS = re.compile(r":([A-Za-z0-9_, ]+) --$")
_NUMBER = frozenset({FieldType.INTEGER, FieldType.FLOAT, FieldType.DECIMAL})
_SPECS = {
    "boolean": FieldSpec(types=frozenset({FieldType.BOOLEAN}), nullable=False),
    "int": FieldSpec(types=frozenset({FieldType.INTEGER}), minimum=-(2**31), maximum=2**31 - 1),
    **dict.fromkeys(("double", "currency", "percent"), FieldSpec(types=_NUMBER, finite=True)),
    "date": FieldSpec(types=frozenset({FieldType.DATE})),
    "datetime": FieldSpec(types=frozenset({FieldType.TIMESTAMP})),
}


class SalesforceDestination(SalesforceApi):
    """Creates and updates records, and sets and clears the checkbox that marks members."""

    type: ClassVar[str] = "salesforce"
    settings_type = SalesforceSettings
    capabilities: ClassVar[Capabilities] = Capabilities(
        operations=frozenset(Op),
        identity=Identity.IDENTIFIERS,
        more_fields=True,
        max_batch_rows=100_000,
        max_batch_bytes=90_000_000,
        asynchronous=True,
        gives_ids=True,
    )

    @classmethod
    def limits(cls, settings: SalesforceSettings) -> Capabilities:
        name = settings.external_id_field
        known = FieldSpec(normalise=EMAIL if name == "Email" else None, max_length=255, identifier=True)
        return replace(cls.capabilities, fields={name: known}, timeout_seconds=settings.timeout_seconds)

    @classmethod
    def target(cls, settings: SalesforceSettings, sync_id: str) -> Mapping[str, str]:
        account = {"account": settings.account} if settings.account else {}
        return {**account, "object": settings.object, "member_field": settings.member_field}

    def steps(self) -> Iterator[Step]:
        yield "credentials", lambda: f"{self.get('limits')['DailyApiRequests']['Remaining']} API requests left today"
        yield "permission", self._check_object
        yield "list", lambda: f"members are marked in {self.settings.object}.{self._member_field()['name']}"
        yield "fields", lambda: f"{len(self.offered())} fields can be mapped"

    def offered(self) -> Mapping[str, FieldSpec]:
        known = self.object_fields()
        identity = known.get(self.settings.external_id_field, {})
        is_key = identity.get("externalId") or identity.get("idLookup")
        if not is_key or identity["type"] not in _KEY_TYPES:
            raise TargetMissingError(
                f"Salesforce has no field {self.settings.object}.{self.settings.external_id_field} that records can be "
                "known by: it must be an external id of type text or e-mail"
            )
        taken = {*_OPT_OUTS, self._member_field(known)["name"]}
        asked = {n: _spec(f) for n, f in known.items() if f["createable"] and f["updateable"] and n not in taken}
        name, declared = self.settings.external_id_field, self.limits(self.settings).fields or {}
        return {**asked, name: replace(declared[name], max_length=identity.get("length") or None)}

    def send(self, batch: Batch) -> Receipt:
        try:
            return self._filled_job(batch)
        except OutcomeUnknownError as error:  # a job that is not closed does nothing
            raise TryAgainError(str(error), retry_after=error.retry_after) from None

    def poll(self, batch: Batch, handle: str) -> Receipt:
        reply = self.call("GET", f"jobs/ingest/{handle}")
        if reply.status == _NOT_FOUND:
            return batch.unconfirmed("Salesforce does not know the job any more")
        job = reply.expect("Salesforce")
        if job["state"] == "Open":
            self.call("PATCH", f"jobs/ingest/{handle}", {"state": "UploadComplete"})
        return self._verdict(batch, job) if job["state"] in _ENDED else batch.pending(handle)

    def _filled_job(self, batch: Batch) -> Receipt:
        upsert = {"operation": "upsert", "externalIdFieldName": self.settings.external_id_field}
        how = {"operation": "update"} if batch.op is Op.REMOVE else upsert
        columns = self._unset(batch) if batch.op is Op.REMOVE else self._set(batch)
        if not columns[self.settings.member_field]:
            return batch.accept_all()  # nobody whom Salesforce knows
        body = {"object": self.settings.object, **how, "contentType": "CSV", "lineEnding": "LF"}
        job = self.call("POST", "jobs/ingest", body)
        if not job.ok:
            raise TargetMissingError(f"Salesforce has no such job for {self.settings.object} ({code_of(job)})")
        handle = str(job.expect("Salesforce")["id"])
        sent = self.call("PUT", f"jobs/ingest/{handle}/batches", content=as_csv(columns))
        return batch.pending(handle) if sent.ok else batch.reject_all(code_of(sent))

    def _set(self, batch: Batch) -> Columns:
        texts = {name: [text(value) or _NULL for value in batch.column(name).to_pylist()] for name in batch.fields}
        return {**texts, self.settings.member_field: ["true"] * len(batch)}

    def _unset(self, batch: Batch) -> Columns:
        records = list(self._records(batch))
        return {"Id": records, self.settings.member_field: ["false"] * len(records)}

    def _records(self, batch: Batch) -> dict[str, str]:
        """Entity keys by the ids of their records. Those of rows that went unanswered are asked for; rows without a
        record are left out."""
        identity = self.settings.external_id_field
        rows = list(zip(batch.keys.to_pylist(), batch.rows(), strict=True))
        found = {row.destination_id: key for key, row in rows if row.destination_id}
        asked = {text(row.values[identity]).casefold(): key for key, row in rows if not row.destination_id}
        values = [f"'{value.translate(_ESCAPES)}'" for value in asked]
        for start in range(0, len(values), _ASKED_AT_ONCE):
            some = ", ".join(values[start : start + _ASKED_AT_ONCE])
            soql = f"SELECT Id, {identity} FROM {self.settings.object} WHERE {identity} IN ({some})"  # noqa: S608
            for record in self.get("query", q=soql)["records"]:
                found[record["Id"]] = asked[record[identity].casefold()]
        return found

    def _verdict(self, batch: Batch, job: Mapping[str, Any]) -> Receipt:
        removes, column = batch.op is Op.REMOVE, self.settings.external_id_field
        keys = dict(zip(map(text, batch.column(column).to_pylist()), batch.keys.to_pylist(), strict=True))
        named, column = (self._records(batch), "Id") if removes else (keys, column)
        done, refused = dict[str, str](), dict[str, Rejection]()
        for key, row in self.results(job, "successfulResults", named, column):
            done[key] = row["sf__Id"]
        for key, row in self.results(job, "failedResults", named, column):
            code = row["sf__Error"].partition(":")[0]
            if removes and code in _GONE:
                done[key] = ""
            else:
                refused[key] = Rejection(key, _reason(row["sf__Error"]), permanent=code not in _MAYBE_LATER)
        untold = set(named.values()) - done.keys() - refused.keys()
        left: set[str] = set()
        if untold and job["state"] != "JobComplete":
            left = {key for key, _ in self.results(job, "unprocessedrecords", named, column)}
            left = left if job.get("numberRecordsProcessed") else untold
        if untold - left:
            raise OutcomeUnknownError("the results of a Salesforce job are not complete")
        why = f"the job ended as {job['state']} ({(job.get('errorMessage') or 'no reason').partition(':')[0].strip()})"
        refused |= {key: Rejection(key, why, permanent=False) for key in untold}
        return batch.accept_except(refused.values(), {} if removes else done)

    def _check_object(self) -> str:
        found = self.described()
        if not (found["createable"] and found["updateable"]):
            raise CredentialsError(
                f"Salesforce: the user lacks a permission, to create and edit {found['name']} records"
            )
        return f"creates and edits {found['name']} records"

    def _member_field(self, known: Mapping[str, Any] | None = None) -> dict[str, Any]:
        name = self.settings.member_field
        found: dict[str, Any] = (known or self.object_fields()).get(name, {})
        if found.get("type") != "boolean" or not found["updateable"]:
            raise TargetMissingError(
                f"Salesforce has no checkbox {self.settings.object}.{name} that can be edited: make it there, or "
                "correct member_field"
            )
        return found


def _reason(error: str) -> str:
    """Code and fields of a row's `sf__Error`, `CODE:message:Field1,Field2 --`."""
    code, fields = error.partition(":")[0], _FIELDS.search(error)
    return f"{code}: {fields[1]}" if fields else code


def _spec(known: Mapping[str, Any]) -> FieldSpec:
    kind, length = known["type"], known.get("length") or None
    if kind == "picklist" and known.get("restrictedPicklist"):
        active = frozenset(choice["value"] for choice in known["picklistValues"] if choice["active"])
        return FieldSpec(types=frozenset({FieldType.TEXT}), choices=active | {""})
    return _SPECS.get(kind, FieldSpec(finite=True, max_length=length))
