"""TikTok's business API on loopback: audiences that are kept by the streaming calls.

Everything is answered with HTTP 200 and a code. Each identifier is on an audience by itself. The calls that read
audiences are from TikTok's OpenAPI descriptions; the streaming calls and the limits (1,000 rows) are second-hand.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any, ClassVar

from zsync_pipelines_tests.support.contracts import Contract
from zsync_pipelines_tests.support.vendors.base import Call, Response, Result, VendorServer, route

SCHEMA = ("EMAIL_SHA256", "PHONE_SHA256", "IDFA_SHA256", "AAID_SHA256")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_API = "/open_api/v1.3"


def answer(code: int = 0, data: dict[str, Any] | None = None) -> dict[str, Any]:
    return {"code": code, "message": "refused" if code else "OK", "request_id": "20261128", "data": data or {}}


@dataclass
class Audience:
    """`ids`: pairs of a type and a digest. `matched`: people, if not as many as ids."""

    name: str
    kind: str = "Partner"
    ours: bool = True
    valid: bool = True
    expiring: bool = False
    matched: int | None = None
    ids: set[tuple[str, str]] = field(default_factory=set)


@dataclass
class TikTok(VendorServer):
    """`audiences`: by id."""

    contract: ClassVar[Contract] = Contract(
        "https://business-api.tiktok.com",
        *(f"tiktok/{name}.yml" for name in ("dmp_custom_audience_get", "dmp_custom_audience_list", "streaming")),
    )

    audiences: dict[str, Audience] = field(default_factory=lambda: {"8001": Audience("VIP")})
    page: int = 100

    def let_in(self, call: Call) -> bool:
        return call.headers.get("access-token") == self.token

    def unauthorized(self) -> Result:
        return 200, answer(40105)

    def not_permitted(self) -> Result:
        return 200, answer(40001)

    def limited(self) -> Result:
        return Response(200, answer(40100))

    def too_large(self) -> Result:
        return 200, answer(40002)

    def failed(self, status: int) -> Any:
        return answer(50000 if status >= 500 else {401: 40105, 429: 40100}.get(status, 40002))

    def forget(self, identity: str) -> None:
        """Somebody else takes an e-mail address off."""
        for audience in self.audiences.values():
            audience.ids.discard(("EMAIL_SHA256", identity))

    @route("GET", f"{_API}/user/info/")
    def user(self, call: Call) -> Result:
        return 200, answer(data={"display_name": "Ann", "core_user_id": "1"})

    @route("GET", f"{_API}/dmp/custom_audience/list/")
    def get_audiences(self, call: Call) -> Result:
        if call.params["advertiser_id"] != "66":
            return 200, answer(40001)
        size, number = min(self.page, int(call.params.get("page_size", 10))), int(call.params.get("page", 1))
        everything = [self._shown(key) for key in self.audiences]
        total = len(everything)
        info = {"page": number, "page_size": size, "total_number": total, "total_page": -(-total // size)}
        return 200, answer(data={"list": everything[(number - 1) * size : number * size], "page_info": info})

    @route("GET", f"{_API}/dmp/custom_audience/get/")
    def get_audience(self, call: Call) -> Result:
        keys = json.loads(call.params["custom_audience_ids"])
        found = [
            {"audience_details": self._shown(key), "audience_history": []} for key in keys if key in self.audiences
        ]
        return 200, answer(data={"list": found}) if found else answer(40002)

    @route("POST", f"{_API}/segment/audience/", writes=True)
    def create_audience(self, call: Call) -> Result:
        name = call.body["custom_audience_name"]
        number = str(max(map(int, self.audiences)) + 1)
        self.audiences[number] = Audience(name if len(name) <= 70 else f"{name[:67]}...")
        return 200, answer(data={"audience_id": number})

    @route("POST", f"{_API}/segment/mapping/", writes=True)
    def mapping(self, call: Call) -> Result:
        body = call.body
        schema, rows = body["id_schema"], body["batch_data"]
        if body["advertiser_ids"] != ["66"] or not set(schema) <= set(SCHEMA) or not 0 < len(rows) <= 1000:
            return 200, answer(40002)
        pairs = []
        for row in rows:
            if len(row) != len(schema) or not any(row):
                return 200, answer(40002)
            for kind, cell in zip(schema, row, strict=True):
                if cell and not self._fits(cell):
                    return 200, answer(40002)
                pairs += [(key, (kind, cell["id"])) for key in cell.get("audience_ids", ())]
        for key, pair in pairs:
            (self.audiences[key].ids.add if body["action"] == "add" else self.audiences[key].ids.discard)(pair)
        return 200, answer()

    def _fits(self, cell: dict[str, Any]) -> bool:
        known = [self.audiences.get(key) for key in cell["audience_ids"]]
        ours = all(found is not None and found.ours and found.kind == "Partner" for found in known)
        return ours and bool(_DIGEST.fullmatch(cell["id"])) and not self.refuse(cell["id"])

    def _shown(self, key: str) -> dict[str, Any]:
        found = self.audiences[key]
        matched = len(found.ids) if found.matched is None else found.matched
        return {
            "audience_id": key, "name": found.name, "audience_type": found.kind, "is_creator": found.ours,
            "shared": not found.ours, "is_valid": found.valid, "is_expiring": found.expiring,
            "expired_time": "2027-01-31 00:00:00", "cover_num": matched,
        }  # fmt: skip
