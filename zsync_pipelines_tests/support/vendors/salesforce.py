"""Salesforce on loopback: one object with typed fields, Bulk API 2.0 ingest jobs, SOQL by value, describe, OAuth.

From Salesforce's documentation; `simple-salesforce` drives it in the oracle tests.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from zsync_pipelines_tests.support.vendors.base import Call, Response, Result, VendorServer, route

LOGIN = "https://login.salesforce.com"
DATA = r"/services/data/v\d+\.0"
_ESCAPED = re.compile(r"\\(.)")
_QUOTED = re.compile(r"'((?:[^'\\]|\\.)*)'")
_QUERY = re.compile(r"SELECT Id, (\w+) FROM (\w+) WHERE \1 IN \((.*)\)", re.DOTALL)
_CHECKS = {
    "boolean": re.compile(r"true|false"),
    "double": re.compile(r"-?\d+(\.\d+)?([eE][+-]?\d+)?"),
    "date": re.compile(r"\d{4}-\d\d-\d\d"),
    "datetime": re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+Z"),
    "email": re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+"),
}


def column(name: str, kind: str = "string", length: int = 0, **more: Any) -> dict[str, Any]:
    """One field as `describe` has it."""
    return {
        "name": name, "label": name, "type": kind, "length": length, "createable": True, "updateable": True,
        "externalId": False, "idLookup": False, "restrictedPicklist": False, "picklistValues": [], **more,
    }  # fmt: skip


_CHOICES = [{"value": "gold", "active": True}, {"value": "tin", "active": False}]
FIELDS = [
    column("Id", "id", 18, createable=False, updateable=False, idLookup=True),
    column("Email", "email", 80, idLookup=True),
    column("LastName", length=80), column("FirstName", length=255), column("Spend__c", "double"),
    column("Joined__c", "date"), column("Seen__c", "datetime"), column("VIP__c", "boolean"),
    column("Number__c", length=20, externalId=True),
    column("Tier__c", "picklist", 255, restrictedPicklist=True, picklistValues=_CHOICES),
    column("HasOptedOutOfEmail", "boolean"), column("CreatedDate", "datetime", createable=False, updateable=False),
]  # fmt: skip


def _error(code: str, message: str = "something is wrong") -> list[dict[str, str]]:
    return [{"errorCode": code, "message": message}]


@dataclass
class Job:
    """One ingest job. `waits`: how often it is still under way when asked."""

    id: str
    body: dict[str, Any]
    state: str = "Open"
    data: bytes = b""
    waits: int = 1
    done: list[dict[str, str]] = field(default_factory=list)
    failed: list[dict[str, str]] = field(default_factory=list)
    left: list[dict[str, str]] = field(default_factory=list)
    message: str | None = None

    def shown(self) -> dict[str, Any]:
        """As Salesforce shows it."""
        counts = {"numberRecordsProcessed": len(self.done) + len(self.failed), "numberRecordsFailed": len(self.failed)}
        told = {"errorMessage": self.message} if self.message else {}
        return {**self.body, "id": self.id, "state": self.state, "apiVersion": 62.0, **counts, **told}


@dataclass
class Salesforce(VendorServer):
    """`records`: by id. `index`: record ids by field and value in lower case. `jobs`: by id. `ends`: after how
    many rows the next job fails that is closed, and with which message. `app_key`: the public key of assertions."""

    records: dict[str, dict[str, str]] = field(default_factory=dict)
    index: dict[tuple[str, str], str] = field(default_factory=dict)
    fields: list[dict[str, Any]] = field(default_factory=lambda: list(FIELDS))
    jobs: dict[str, Job] = field(default_factory=dict)
    ends: tuple[int, str] | None = None
    sessions: set[str] = field(default_factory=set)
    grants: int = 0
    refresh: str = "r3fresh-pl4nted"
    app_key: Any = None
    creates: bool = True

    def let_in(self, call: Call) -> bool:
        return call.headers.get("authorization", "").removeprefix("Bearer ") in self.sessions

    def unauthorized(self) -> Result:
        return 401, _error("INVALID_SESSION_ID", "Session expired or invalid")

    def not_permitted(self) -> Result:
        return 403, _error("API_DISABLED_FOR_ORG", "API is not enabled for this Organization or Partner")

    def limited(self) -> Response:
        return Response(403, _error("REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded."))

    def failed(self, status: int) -> Any:
        return _error("REQUEST_LIMIT_EXCEEDED" if status == 403 else f"SCRIPTED_{status}")

    def forget(self, email: str) -> None:
        """Somebody unticks the box."""
        self.records[self.index["Email", email]]["VIP__c"] = "false"

    def keep(self, record: str | None, values: Mapping[str, str]) -> str:
        """Set fields of a record, or of a new one; gives its id."""
        record = record or f"003{len(self.records):015d}"
        known = self.records.setdefault(record, {"VIP__c": "false"})
        for name in ("Email", "Number__c"):
            if name in values and self.index.get((name, known.get(name, "").lower())) == record:
                del self.index[name, known[name].lower()]
        known.update({name: "" if value == "#N/A" else value for name, value in values.items() if value})
        self.index.update(((n, known[n].lower()), record) for n in ("Email", "Number__c") if known.get(n))
        return record

    @route("POST", "/services/oauth2/token", open_to_all=True)
    def token_endpoint(self, call: Call) -> Result:
        form = call.form
        refused = self._grant_fault(form)
        if refused:
            return 400, {"error": refused, "error_description": "no"}
        self.grants += 1
        session = f"00Dsession{self.grants}"
        self.sessions.add(session)
        return 200, {"access_token": session, "instance_url": self.url, "token_type": "Bearer", "issued_at": "1"}

    def _grant_fault(self, form: Mapping[str, str]) -> str | None:
        if form["grant_type"].endswith("jwt-bearer"):
            return self._assertion_fault(form["assertion"])
        if form.get("client_id") != "app" or form.get("client_secret") != self.token:
            return "invalid_client"
        if form["grant_type"] == "refresh_token" and form["refresh_token"] != self.refresh:
            return "invalid_grant"
        return None if form["grant_type"] in ("client_credentials", "refresh_token") else "unsupported_grant_type"

    def _assertion_fault(self, assertion: str) -> str | None:
        import jwt

        try:
            claims = jwt.decode(
                assertion, self.app_key, ["RS256"], audience="https://login.salesforce.com", issuer="app"
            )
        except jwt.PyJWTError:
            return "invalid_grant"
        return (
            None if claims["sub"] == "zsync@example.org" and claims["exp"] - claims["iat"] <= 180 else "invalid_grant"
        )

    @route("GET", f"{DATA}/limits/?")
    def limits(self, call: Call) -> Result:
        return 200, {"DailyApiRequests": {"Max": 15000, "Remaining": 14998}}

    @route("GET", DATA + r"/sobjects/(\w+)/describe/?")
    def describe(self, call: Call, name: str) -> Result:
        if name != "Contact":
            return 404, _error("NOT_FOUND", "The requested resource does not exist")
        return 200, {"name": name, "createable": self.creates, "updateable": True, "fields": self.fields}

    @route("GET", f"{DATA}/query/?")
    def query(self, call: Call) -> Result:
        parsed = _QUERY.fullmatch(call.params["q"])
        if parsed is None or len(call.path) > 16_000:
            return 400, _error("MALFORMED_QUERY")
        name, _, values = parsed.groups()
        found = [(name, _ESCAPED.sub(r"\1", value).lower()) for value in _QUOTED.findall(values)]
        records = [self.index[pair] for pair in found if pair in self.index]
        shown = [{"attributes": {}, "Id": record, name: self.records[record][name]} for record in records]
        return 200, {"totalSize": len(shown), "done": True, "records": shown}

    @route("POST", f"{DATA}/jobs/ingest/?", writes=True)
    def make_job(self, call: Call) -> Result:
        body = call.body
        if body["object"] != "Contact":
            return 400, _error("INVALIDENTITY", "No such object")
        if body["operation"] == "upsert" and not self._is_key(body.get("externalIdFieldName")):
            return 400, _error("INVALIDJOB", "InvalidJob : Must specify valid external id field")
        job = Job(f"750{len(self.jobs):015d}", body)
        self.jobs[job.id] = job
        return 200, job.shown()

    @route("PUT", DATA + r"/jobs/ingest/(\w+)/batches/?", writes=True)
    def upload(self, call: Call, number: str) -> Result:
        job = self.jobs[number]
        if job.state != "Open" or job.data or "text/csv" not in call.headers.get("content-type", ""):
            return 400, _error("CLIENT_INPUT_ERROR" if job.state == "Open" else "INVALIDJOBSTATE")
        if len(call.raw) > 100_000_000:
            return 413, _error("REQUEST_ENTITY_TOO_LARGE")
        job.data = call.raw
        return 201, None

    @route("PATCH", DATA + r"/jobs/ingest/(\w+)/?", writes=True)
    def close_job(self, call: Call, number: str) -> Result:
        job = self.jobs[number]
        if job.state != "Open" or call.body["state"] not in ("UploadComplete", "Aborted"):
            return 400, _error("INVALIDJOBSTATE", "Closing an already closed job is not allowed")
        job.state = call.body["state"]
        if job.state == "UploadComplete":
            self._process(job)
        return 200, job.shown()

    @route("GET", DATA + r"/jobs/ingest/(\w+)/?")
    def ask_job(self, call: Call, number: str) -> Result:
        job = self.jobs.get(number)
        if job is None:
            return 404, _error("NOT_FOUND")
        if job.state in ("UploadComplete", "InProgress"):
            job.waits -= 1
            job.state = "InProgress" if job.waits > 0 else ("Failed" if job.message else "JobComplete")
        return 200, job.shown()

    @route("GET", DATA + r"/jobs/ingest/(\w+)/(successfulResults|failedResults|unprocessedrecords)/?")
    def results(self, call: Call, number: str, which: str) -> Result:
        job = self.jobs[number]
        rows = {"successfulResults": job.done, "failedResults": job.failed, "unprocessedrecords": job.left}[which]
        text = io.StringIO()
        if rows:
            writer = csv.DictWriter(text, list(rows[0]), quoting=csv.QUOTE_ALL, lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
        return Response(200, headers={"content-type": "text/csv"}, raw=text.getvalue().encode())

    def _process(self, job: Job) -> None:
        rows = list(csv.DictReader(io.StringIO(job.data.decode(), newline="")))
        known = {found["name"]: found for found in self.fields}
        unknown = [name for name in rows[0] if name not in known]
        count, message = self.ends or (len(rows), "")
        self.ends = None
        if unknown:
            count, message = 0, f"InvalidBatch : Field name not found : {unknown[0]}"
        job.message = message or None
        for row in rows[:count]:
            fault, record = self._row(job.body, row, known)
            if fault:
                job.failed.append({"sf__Id": record or "", "sf__Error": fault, **row})
            else:
                job.done.append({"sf__Id": record or "", "sf__Created": "true", **row})
        job.left = rows[count:]

    def _row(
        self, body: Mapping[str, Any], row: Mapping[str, str], known: Mapping[str, Any]
    ) -> tuple[str | None, str | None]:
        """What is wrong with a row, if anything, and its record."""
        if body["operation"] == "update":
            record = row["Id"] if row["Id"] in self.records else None
            if record is None:
                return "ENTITY_IS_DELETED:entity is deleted:--", None
        else:
            name = body["externalIdFieldName"]
            record = self.index.get((name, row[name].lower()))
            if self.refuse(row[name]):
                return f"FIELD_CUSTOM_VALIDATION_EXCEPTION:{row[name]} is not wanted:{name} --", record
            if record is None and row.get("LastName", "#N/A") in ("", "#N/A"):
                return "REQUIRED_FIELD_MISSING:Required fields are missing: [LastName]:LastName --", None
        for name, value in row.items():
            if name == "Id" or value in ("", "#N/A"):
                continue
            kind, length = known[name]["type"], known[name]["length"]
            if kind in _CHECKS and not _CHECKS[kind].fullmatch(value):
                return f"INVALID_TYPE_ON_FIELD_IN_RECORD:{value} is no {kind}:{name} --", record
            if length and len(value) > length:
                return f"STRING_TOO_LONG:{name} ({value}):{name} --", record
        return None, self.keep(record, {name: value for name, value in row.items() if name != "Id"})

    def _is_key(self, name: str | None) -> bool:
        return any(found["name"] == name and (found["externalId"] or found["idLookup"]) for found in self.fields)
