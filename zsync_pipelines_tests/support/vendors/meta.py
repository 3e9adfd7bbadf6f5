"""Meta's Marketing API on loopback: customer-file custom audiences, counts of entries that cannot be read, sessions.

From Meta's reference pages. Rows, like an audience's people, are by schema key; a removal takes out every row that
shares an identifier with it. Like the real one it also takes forms and a token in the query, which its SDK sends.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from zsync_pipelines_tests.support.vendors.base import Call, Response, Result, VendorServer, route

IDENTIFIERS = ("EMAIL", "PHONE", "MADID", "EXTERN_ID")
PLAIN = ("MADID", "EXTERN_ID")
HASHED = ("EMAIL", "PHONE", "GEN", "DOBY", "DOBM", "DOBD", "LN", "FN", "FI", "CT", "ST", "ZIP", "COUNTRY")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_V = r"/v\d+\.\d+"


def error(code: int, subcode: int = 0, message: str = "refused") -> dict[str, Any]:
    return {
        "error": {
            "message": message, "type": "OAuthException", "code": code,
            **({"error_subcode": subcode} if subcode else {}), "fbtrace_id": "Atrace",
        }
    }  # fmt: skip


@dataclass
class Audience:
    """`people`: rows by number, each by schema key. `index`: numbers by key and value of an identifier."""

    name: str
    subtype: str = "CUSTOM"
    source: str = "USER_PROVIDED_ONLY"
    people: dict[int, dict[str, str]] = field(default_factory=dict)
    index: dict[tuple[str, str], set[int]] = field(default_factory=dict)
    operation: int = 200
    finished: set[int] = field(default_factory=set)
    made: int = 0

    def put(self, row: dict[str, str]) -> None:
        known = {key: row[key] for key in IDENTIFIERS if row.get(key)}
        same = [
            number
            for number in self._sharing(known)
            if {key: v for key, v in self.people[number].items() if key in IDENTIFIERS} == known
        ]
        number = same[0] if same else self.made
        self.made += not same
        self.people[number] = row
        for pair in known.items():
            self.index.setdefault(pair, set()).add(number)

    def take(self, row: Mapping[str, str]) -> None:
        for number in self._sharing({key: row[key] for key in IDENTIFIERS if row.get(key)}):
            for pair in self.people.pop(number).items():
                self.index.get(pair, set()).discard(number)

    def _sharing(self, known: Mapping[str, str]) -> set[int]:
        return set().union(*(self.index.get(pair, set()) for pair in known.items()))


@dataclass
class Meta(VendorServer):
    """`audiences`: by id. `sampled`: unreadable entries are named in the samples. `granted`: the token's permissions.
    `usage`: of the header, per cent and minutes."""

    audiences: dict[str, Audience] = field(default_factory=lambda: {"7001": Audience("VIP")})
    sampled: bool = True
    granted: tuple[str, ...] = ("ads_management", "business_management")
    terms: bool = True
    page: int = 2
    usage: tuple[int, int] | None = None

    def let_in(self, call: Call) -> bool:
        given = {call.headers.get("authorization"), call.params.get("access_token"), self._form(call, "access_token")}
        return bool(given & {f"Bearer {self.token}", self.token})

    def unauthorized(self) -> Result:
        return 400, error(190, 463, "Error validating access token: Session has expired")

    def not_permitted(self) -> Result:
        return 403, error(200, 0, "(#200) Requires ads_management permission to manage the object")

    def limited(self) -> Result:
        return Response(400, error(80003, 2446079), self._usage(100, 1))

    def failed(self, status: int) -> Any:
        return error(1 if status >= 500 else 4 if status == 429 else 190 if status == 401 else 100)

    def allowance(self, left: int, seconds: float) -> Mapping[str, str]:
        requests = (self.window or (1, 1))[0]
        return self._usage(100 - 100 * left // requests, 0)

    @route("GET", f"{_V}/me")
    def me(self, call: Call) -> Result:
        return 200, {"name": "zsync system user", "id": "1"}

    @route("GET", f"{_V}/me/permissions")
    def permissions(self, call: Call) -> Result:
        return 200, {"data": [{"permission": name, "status": "granted"} for name in self.granted]}

    @route("GET", f"{_V}/act_55")
    def account(self, call: Call) -> Result:
        accepted = {"web_custom_audience_tos": 1, **({"custom_audience_tos": 1} if self.terms else {})}
        return 200, {"id": "act_55", "name": "Shop", "tos_accepted": accepted}

    @route("GET", f"{_V}/act_55/customaudiences")
    def get_audiences(self, call: Call) -> Result:
        start = int(call.params.get("after", 0))
        end = start + min(self.page, int(call.params.get("limit", 25)))
        found = [{"id": key, **self._shown(a, call)} for key, a in list(self.audiences.items())[start:end]]
        paging: dict[str, Any] = {"cursors": {"before": str(start), "after": str(end)}}
        if end < len(self.audiences):
            paging["next"] = f"https://graph.example.org/next?access_token={self.token}"
        return 200, {"data": found, "paging": paging}

    @route("POST", f"{_V}/act_55/customaudiences", writes=True)
    def create_audience(self, call: Call) -> Result:
        body = call.body or call.form
        if body["subtype"] != "CUSTOM" or "customer_file_source" not in body:
            return 400, error(100)
        if not self.terms:
            return 400, error(200, 1870034, "Custom Audience Terms Not Accepted")
        number = str(max(map(int, self.audiences)) + 1)
        self.audiences[number] = Audience(body["name"], source=body["customer_file_source"])
        return 200, {"id": number}

    @route("GET", rf"{_V}/(\d+)/?")
    def get_audience(self, call: Call, number: str) -> Result:
        if number not in self.audiences:
            return 400, error(100, 33, "Unsupported get request. Object does not exist")
        return 200, {"id": number, **self._shown(self.audiences[number], call)}

    @route("POST", rf"{_V}/(\d+)/users", writes=True)
    def add_users(self, call: Call, number: str) -> Result:
        return self._users(call, number, Audience.put)

    @route("DELETE", rf"{_V}/(\d+)/users", writes=True)
    def remove_users(self, call: Call, number: str) -> Result:
        return self._users(call, number, Audience.take)

    def forget(self, identity: str) -> None:
        """Somebody else takes a person out."""
        for audience in self.audiences.values():
            audience.take({"EMAIL": identity})

    def _users(self, call: Call, number: str, act: Any) -> Result:
        audience = self.audiences.get(number)
        if audience is None:
            return 400, error(100, 33, "Object does not exist")
        if audience.operation == 471:
            return 400, error(100, 1713230, "Audience Upload Blocked")
        body = call.body or {name: json.loads(value) for name, value in self._forms(call).items() if value[:1] == "{"}
        payload, session = body["payload"], body.get("session")
        schema, data = payload["schema"], payload["data"]
        unknown = not isinstance(schema, list) or set(schema) - {*PLAIN, *HASHED}
        if unknown or not payload.get("is_raw") or len(data) > 10_000 or any(len(row) != len(schema) for row in data):
            return 400, error(100, 0, "Invalid parameter")
        if session is not None:
            if not {"session_id", "batch_seq", "last_batch_flag"} <= session.keys():
                return 400, error(100, 0, "Invalid parameter")
            if session["session_id"] in audience.finished:
                return 400, error(100, 1870065, "The session is finished")
            if session["last_batch_flag"]:
                audience.finished.add(session["session_id"])
        rows = [{key: value for key, value in zip(schema, row, strict=True) if value} for row in data]
        bad = [row for row in rows if not self._readable(row)]
        for row in rows:
            if row not in bad:
                act(audience, row)
        samples = {",".join(row.values()): "cannot be read" for row in bad[:100]} if self.sampled else {}
        answer = {
            "audience_id": number, "session_id": str((session or {}).get("session_id", 9)), "num_received": len(rows),
            "num_invalid_entries": len(bad), "invalid_entry_samples": samples,
        }  # fmt: skip
        return Response(200, answer, self._usage(*self.usage) if self.usage else {})

    def _readable(self, row: Mapping[str, str]) -> bool:
        if not any(key in row for key in IDENTIFIERS) or any(self.refuse(row[k]) for k in IDENTIFIERS if k in row):
            return False
        return all(_DIGEST.fullmatch(value) for key, value in row.items() if key not in PLAIN)

    def _shown(self, audience: Audience, call: Call) -> dict[str, Any]:
        small = len(audience.people) < 100
        everything = {
            "name": audience.name,
            "subtype": audience.subtype,
            "approximate_count_lower_bound": -1 if small else len(audience.people),
            "operation_status": {
                "code": audience.operation,
                "description": "Flagged" if audience.operation == 471 else "Normal",
            },
            "delivery_status": {"code": 300, "description": "too small"}
            if small
            else {"code": 200, "description": "ready"},
        }
        return {name: value for name, value in everything.items() if name in call.params.get("fields", "").split(",")}

    def _usage(self, share: int, minutes: int) -> Mapping[str, str]:
        kind = {"type": "custom_audience", "call_count": share, "total_cputime": 1, "total_time": 1}
        return {"x-business-use-case-usage": json.dumps({"55": [{**kind, "estimated_time_to_regain_access": minutes}]})}

    def _form(self, call: Call, name: str) -> str | None:
        return self._forms(call).get(name)

    def _forms(self, call: Call) -> dict[str, str]:
        return call.form if "form" in call.headers.get("content-type", "") else dict(call.params)
