"""Any sequence of requests, of two clients on two processes, against a plain model of what must be there."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from zsync_pipelines_tests.support.api import UNLIMITED, V1, Shop, fill, problem

SYNCS = f"{V1}/audience-syncs"
IDS = st.sampled_from(["one", "two", "three"])
CLIENTS = st.integers(0, 1)
SCHEDULES = st.sampled_from(["manual", "hourly", "daily", "0 6 * * *"])
STATUSES = st.sampled_from(["active", "paused"])
SOAK = os.environ.get("HYPOTHESIS_PROFILE") == "soak"


@dataclass
class Expected:
    """What is known of a sync that is there."""

    schedule: str
    status: str
    revision: int
    last_run: str | None = None


class Requests(RuleBasedStateMachine):
    """Each rule sends one request and says what must be answered; every read is by the other process."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory(prefix="zs")
        self.shop = Shop(Path(self.folder.name), {"ZSYNC_HOME": f"{self.folder.name}/home", **UNLIMITED})
        self.syncs: dict[str, Expected] = {}
        self.gone: set[str] = set()
        self.runs: dict[str, list[dict[str, Any]]] = {}

    @initialize()
    def begin(self) -> None:
        self.clients = [self.shop.client(), self.shop.client()]
        fill(self.clients[0], self.shop)
        assert self.clients[1].delete(f"{SYNCS}/to_crm").status_code == 204

    def teardown(self) -> None:
        self.shop.close()
        self.folder.cleanup()

    def body(self, sync_id: str, schedule: str, status: str) -> dict[str, Any]:
        more = {"audience_id": "canadians", "destination_id": "crm", "sync_mode": "mirror"}
        return {"id": sync_id, "schedule": schedule, "status": status, "config": {"table": sync_id}, **more}

    def queued(self, sync_id: str) -> str | None:
        return next((run["id"] for run in self.runs.get(sync_id, ()) if run["status"] == "queued"), None)

    @rule(by=CLIENTS, sync_id=IDS, schedule=SCHEDULES, status=STATUSES)
    def create(self, by: int, sync_id: str, schedule: str, status: str) -> None:
        answer = self.clients[by].post(SYNCS, json=self.body(sync_id, schedule, status))
        if sync_id in self.syncs or sync_id in self.gone:
            problem(answer, 409)
        else:
            assert (answer.status_code, answer.headers["etag"]) == (201, '"1"')
            self.syncs[sync_id] = Expected(schedule, status, 1)

    @rule(by=CLIENTS, sync_id=IDS, schedule=SCHEDULES, status=STATUSES, seen=st.sampled_from(["now", "before", None]))
    def replace(self, by: int, sync_id: str, schedule: str, status: str, seen: str | None) -> None:
        known = self.syncs.get(sync_id)
        revision = (known.revision if known else 1) - (seen == "before")
        headers = {} if seen is None else {"If-Match": f'"{revision}"'}
        answer = self.clients[by].put(f"{SYNCS}/{sync_id}", json=self.body(sync_id, schedule, status), headers=headers)
        if known is None:
            problem(answer, 404)
        elif seen == "before":
            problem(answer, 412)
        else:
            assert answer.status_code == 200
            known.revision += (known.schedule, known.status) != (schedule, status)
            known.schedule, known.status = schedule, status
            assert answer.headers["etag"] == f'"{known.revision}"'

    @rule(by=CLIENTS, sync_id=IDS, seen=st.sampled_from(["now", "before", None]))
    def delete(self, by: int, sync_id: str, seen: str | None) -> None:
        known = self.syncs.get(sync_id)
        revision = (known.revision if known else 1) - (seen == "before")
        headers = {} if seen is None else {"If-Match": f'"{revision}"'}
        answer = self.clients[by].delete(f"{SYNCS}/{sync_id}", headers=headers)
        if known is None:
            problem(answer, 404)
        elif seen == "before":
            problem(answer, 412)
        elif (run_id := self.queued(sync_id)) is not None:
            assert problem(answer, 409)["run_id"] == run_id
        else:
            assert answer.status_code == 204
            del self.syncs[sync_id]
            self.gone.add(sync_id)

    @rule(by=CLIENTS, sync_id=IDS, key=st.sampled_from([None, "a", "b"]))
    def trigger(self, by: int, sync_id: str, key: str | None) -> None:
        self.shop.later(seconds=1)
        headers = {} if key is None else {"Idempotency-Key": f"{key} {sync_id} {len(self.runs.get(sync_id, ()))}"}
        answers = [self.clients[by].post(f"{SYNCS}/{sync_id}/trigger", headers=headers)]
        if key is not None:
            answers.append(self.clients[1 - by].post(f"{SYNCS}/{sync_id}/trigger", headers=headers))
            assert answers[0].json() == answers[1].json(), "it was done once"
        if sync_id not in self.syncs:
            problem(answers[0], 404)
        elif (run_id := self.queued(sync_id)) is not None:
            assert problem(answers[0], 409)["run_id"] == run_id
        else:
            assert answers[0].status_code == 202
            self.runs.setdefault(sync_id, []).insert(0, answers[0].json())
            self.syncs[sync_id].last_run = answers[0].json()["id"]

    @rule(by=CLIENTS, sync_id=IDS, number=st.integers(0, 3))
    def cancel(self, by: int, sync_id: str, number: int) -> None:
        runs = self.runs.get(sync_id, [])
        run = runs[number] if number < len(runs) else None
        answer = self.clients[by].post(f"{SYNCS}/{sync_id}/runs/{run['id'] if run else 'none'}/cancel")
        if run is None:
            problem(answer, 404)
        elif run["status"] != "queued":
            problem(answer, 409)
        else:
            assert (answer.status_code, answer.json()["status"]) == (202, "cancelled")
            runs[number] = answer.json()

    @invariant()
    def both_processes_answer_alike(self) -> None:
        if not hasattr(self, "clients"):
            return
        for client in self.clients:
            listed = {item["id"]: item for item in client.get(SYNCS).json()}
            assert listed.keys() == self.syncs.keys()
            for sync_id, known in self.syncs.items():
                self.check(client, listed[sync_id], known)
            for sync_id in self.gone:
                problem(client.get(f"{SYNCS}/{sync_id}"), 404)
            for sync_id, runs in self.runs.items():
                assert client.get(f"{SYNCS}/{sync_id}/runs").json() == runs

    @staticmethod
    def check(client: httpx.Client, item: dict[str, Any], known: Expected) -> None:
        assert (item["schedule"], item["status"], item["last_run_id"]) == (
            known.schedule,
            known.status,
            known.last_run,
        )
        read = client.get(f"{SYNCS}/{item['id']}")
        assert (read.json(), read.headers["etag"]) == (item, f'"{known.revision}"')


TestRequests = Requests.TestCase
TestRequests.settings = settings(
    max_examples=200 if SOAK else 4, stateful_step_count=40 if SOAK else 18, deadline=None, derandomize=not SOAK
)
