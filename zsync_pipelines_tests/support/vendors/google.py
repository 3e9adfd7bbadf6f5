"""Google's Data Manager API on loopback: user lists, members that are taken and judged later, verdicts by request.

Fields, limits and errors as Google's client `google-ads-datamanager` 0.9.4 and its documentation have them. A list
holds identifiers: each e-mail address and phone number (their digests) that was added, with the address beside it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from zsync_pipelines_tests.support.vendors.base import Call, Response, Result, route
from zsync_pipelines_tests.support.vendors.tokens import TokenServer

ACCOUNT = "1234567890"
SERVICE_ACCOUNT = "zsync@project.iam.gserviceaccount.com"
SCOPE = "https://www.googleapis.com/auth/datamanager"
_DIGEST = re.compile(r"[0-9a-f]{64}")
_CODES = {400: "INVALID_ARGUMENT", 401: "UNAUTHENTICATED", 403: "PERMISSION_DENIED", 404: "NOT_FOUND"}
_INGEST = {"destinations", "audienceMembers", "consent", "validateOnly", "encoding", "termsOfService"}
_REMOVE = {"destinations", "audienceMembers", "validateOnly", "encoding"}
_ADDRESS = {"givenName", "familyName", "regionCode", "postalCode"}
_ACCOUNTS = r"/v1/accountTypes/(\w+)/accounts/(\w+)/userLists"


_ENUMS = {
    "encoding": ["", "HEX", "BASE64"],
    "accountType": ["", "GOOGLE_ADS"],
    "adUserData": ["", "CONSENT_GRANTED", "CONSENT_DENIED"],
    "adPersonalization": ["", "CONSENT_GRANTED", "CONSENT_DENIED"],
    "customerMatchTermsOfServiceStatus": ["", "ACCEPTED", "REJECTED"],
}


@dataclass
class Job:
    """One request that was taken. `polls`: how often it is still processing. `faulty`: reasons by row."""

    op: str
    list_id: str
    members: list[dict[str, Any]]
    polls: int
    faulty: dict[int, str] = field(default_factory=dict)
    done: bool = False


@dataclass
class Google(TokenServer):
    """`lists`: by id. `held`: on each list, identifiers with their addresses. `jobs`: requests by id, in order.

    `polls`: how often a request is asked about before its verdict. `late_fault(member)`: a reason to refuse a member
    while it is processed. `named_at_once`: how many records an answer names.
    """

    lists: dict[str, dict[str, Any]] = field(default_factory=dict)
    held: dict[str, dict[str, dict[str, Any]]] = field(default_factory=dict)
    jobs: dict[str, Job] = field(default_factory=dict)
    polls: int = 1
    late_fault: Any = lambda identity: None
    named_at_once: int = 1000

    def __post_init__(self) -> None:
        self.add_list("VIP")

    def add_list(self, name: str, **more: Any) -> dict[str, Any]:
        """Make a list; gives it as the API shows it."""
        number = str(71 + len(self.held))
        parent = f"accountTypes/GOOGLE_ADS/accounts/{ACCOUNT}"
        keys = {"uploadKeyTypes": ["CONTACT_ID"]}
        made = {"displayName": name, "membershipStatus": "OPEN", "ingestedUserListInfo": keys, **more}
        self.lists[number] = {**made, "id": number, "name": f"{parent}/userLists/{number}"}
        self.held[number] = {}
        return self.lists[number]

    def check_assertion(self, claims: dict[str, Any]) -> bool:
        return (
            claims.get("iss") == SERVICE_ACCOUNT
            and claims.get("scope") == SCOPE
            and claims["aud"] == f"{self.url}/token"
        )

    def unauthorized(self) -> Result:
        return 401, self.failed(401)

    def not_permitted(self) -> Result:
        return 403, self.failed(403)

    def limited(self) -> Response:
        return Response(429, _error(429, "RESOURCE_EXHAUSTED"))

    def failed(self, status: int) -> Any:
        return _error(status, _CODES.get(status, "INTERNAL_ERROR"))

    @route("GET", _ACCOUNTS)
    def list_lists(self, call: Call, kind: str, account: str) -> Result:
        if account != ACCOUNT:
            return 404, self.failed(404)
        found = list(self.lists.values())
        if "filter" in call.params:
            wanted = re.fullmatch(r'display_name = "(.*)"', call.params["filter"])
            if wanted is None:
                return 400, _error(400, "INVALID_FILTER")
            name = re.sub(r"\\(.)", r"\1", wanted[1])
            found = [user_list for user_list in found if user_list["displayName"] == name]
        start, size = int(call.params.get("pageToken", 0)), min(int(call.params.get("pageSize", 50)), 2)
        more = {"nextPageToken": str(start + size)} if start + size < len(found) else {}
        return 200, {"userLists": found[start : start + size], **more}

    @route("GET", _ACCOUNTS + r"/(\w+)")
    def get_list(self, call: Call, kind: str, account: str, number: str) -> Result:
        found = self.lists.get(number) if account == ACCOUNT else None
        return (200, found) if found else (404, self.failed(404))

    @route("POST", _ACCOUNTS, writes=True)
    def create_list(self, call: Call, kind: str, account: str) -> Result:
        body = call.body
        days = int(body["membershipDuration"].removesuffix("s")) / 86_400
        if days > 540 or days % 1:
            return 400, _error(400, "MEMBERSHIP_DURATION_TOO_LONG")
        if any(user_list["displayName"] == body["displayName"] for user_list in self.lists.values()):
            return 400, _error(400, "DISPLAY_NAME_ALREADY_USED")
        return 200, self.add_list(body.pop("displayName"), **body)

    @route("POST", "/v1/audienceMembers:(ingest|remove)", writes=True)
    def take(self, call: Call, op: str) -> Result:
        body = _named(call.body)
        checks_only = body.get("validateOnly", False)
        self.writes -= bool(checks_only)  # it changes nothing
        wrong = self._wrong(op, body)
        if wrong is not None:
            return 400, _error(400, wrong)
        named = [found for index, member in enumerate(body["audienceMembers"]) for found in self._faults(index, member)]
        if named:
            return 400, _error(400, "INVALID_ARGUMENT", named[: self.named_at_once])
        if checks_only:
            return 200, {}
        number = f"request-{len(self.jobs) + 1}"
        (where,) = body["destinations"]
        members = body["audienceMembers"]
        faulty = {n: reason for n, member in enumerate(members) if (reason := self.late_fault(_first(member)))}
        self.jobs[number] = Job(op, where["productDestinationId"], members, self.polls, faulty)
        return 200, {"requestId": number}

    @route("GET", "/v1/requestStatus:retrieve")
    def status(self, call: Call) -> Result:
        job = self.jobs.get(call.params["requestId"])
        if job is None:
            return 400, _error(400, "INVALID_REQUEST_ID")
        job.polls -= 1
        if job.polls < 0:
            self._process(call.params["requestId"])
        kind = "audienceMembersIngestionStatus" if job.op == "ingest" else "audienceMembersRemovalStatus"
        inner = "userDataIngestionStatus" if job.op == "ingest" else "userDataRemovalStatus"
        told: dict[str, Any] = {"requestStatus": "PROCESSING"}
        if job.done:
            told = {"requestStatus": _status(job), kind: {inner: {"recordCount": str(len(job.members))}}}
            if job.faulty:
                told["errorInfo"] = {"errorCounts": list(_counts(job))}
        return 200, {"requestStatusPerDestination": [told]}

    def _wrong(self, op: str, body: dict[str, Any]) -> str | None:  # noqa: PLR0911  # one a rule
        """Why a request is refused whole."""
        if set(body) - (_INGEST if op == "ingest" else _REMOVE):
            return "INVALID_ARGUMENT"
        if len(body["audienceMembers"]) > 10_000:
            return "TOO_MANY_AUDIENCE_MEMBERS"
        if body.get("encoding") != "HEX":
            return "REQUIRED_FIELD_MISSING"
        if op == "ingest" and body.get("termsOfService") != {"customerMatchTermsOfServiceStatus": "ACCEPTED"}:
            return "TERMS_AND_CONDITIONS_NOT_SIGNED"
        if op == "ingest" and not set(body["consent"].values()) <= {"CONSENT_GRANTED", "CONSENT_DENIED"}:
            return "INVALID_ENUM_VALUE"
        (where,) = body["destinations"]
        if where["operatingAccount"] == {"accountType": "GOOGLE_ADS", "accountId": ACCOUNT}:
            return None if where["productDestinationId"] in self.lists else "INVALID_USER_LIST_ID"
        return "INVALID_DESTINATION"

    def _faults(self, index: int, member: dict[str, Any]) -> Iterator[dict[str, str]]:
        path = f"audience_members.audience_members[{index}]"
        found = member.get("userData", {}).get("userIdentifiers", [])
        for reason in _member_faults(found):
            yield {"field": f"{path}.user_data.user_identifiers", "description": reason, "reason": reason}
        if found and self.refuse(_first(member)):
            yield {"field": path, "reason": "INVALID_AUDIENCE_MEMBER"}

    def forget(self, identity: str) -> None:
        """A membership ends by itself."""
        self.settle()
        self.held["71"].pop(identity)

    def settle(self) -> None:
        """Process all that was taken."""
        if self.jobs:
            self._process(list(self.jobs)[-1])

    def _process(self, last: str) -> None:
        """Process requests in the order in which they came, up to this one."""
        for number, job in self.jobs.items():
            if not job.done and job.list_id in self.held:
                self._apply(job)
            job.done = True
            if number == last:
                return

    def _apply(self, job: Job) -> None:
        held = self.held[job.list_id]
        for n, member in enumerate(job.members):
            if n in job.faulty:
                continue
            found = member["userData"]["userIdentifiers"]
            address = next((each["address"] for each in found if "address" in each), {})
            for each in found:
                for value in (each.get("emailAddress"), each.get("phoneNumber")):
                    if value and job.op == "ingest":
                        held[value] = address
                    elif value:
                        held.pop(value, None)


def _named(body: Any) -> Any:
    """With the names of values that Google's client sends as numbers."""
    if isinstance(body, list):
        return [_named(each) for each in body]
    if not isinstance(body, dict):
        return body
    known = {name: value for name, value in body.items() if name in _ENUMS and isinstance(value, int)}
    return {**{name: _named(value) for name, value in body.items()}, **{n: _ENUMS[n][v] for n, v in known.items()}}


def _member_faults(found: list[dict[str, Any]]) -> Iterator[str]:
    if not found:
        yield "NO_IDENTIFIERS_PROVIDED"
    if len(found) > 10:
        yield "TOO_MANY_USER_IDENTIFIERS"
    for each in found:
        address = each.get("address")
        if address is not None and (set(address) != _ADDRESS or not all(address.values())):
            yield "REQUIRED_FIELD_MISSING"
        digests = [each.get("emailAddress"), each.get("phoneNumber")]
        digests += [address.get("givenName"), address.get("familyName")] if address else []
        if not all(_DIGEST.fullmatch(digest) for digest in digests if digest is not None):
            yield "INVALID_SHA256_FORMAT"


def _first(member: dict[str, Any]) -> str:
    return str(next(iter(member["userData"]["userIdentifiers"][0].values())))


def _status(job: Job) -> str:
    if not job.faulty:
        return "SUCCESS"
    return "FAILED" if len(job.faulty) == len(job.members) else "PARTIAL_SUCCESS"


def _counts(job: Job) -> Iterator[dict[str, str]]:
    reasons = list(job.faulty.values())
    for reason in dict.fromkeys(reasons):
        yield {"recordCount": str(reasons.count(reason)), "reason": f"PROCESSING_ERROR_REASON_{reason}"}


def _error(status: int, reason: str, violations: list[dict[str, str]] | None = None) -> dict[str, Any]:
    details: list[dict[str, Any]] = [
        {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": reason, "domain": "datamanager.googleapis.com"}
    ]
    if violations is not None:
        details.append({"@type": "type.googleapis.com/google.rpc.BadRequest", "fieldViolations": violations})
    code = _CODES.get(status, reason)
    return {"error": {"code": status, "message": "There was a problem.", "status": code, "details": details}}
