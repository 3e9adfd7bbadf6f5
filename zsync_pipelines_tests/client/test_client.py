"""The client against the real API, on loopback."""

from __future__ import annotations

import pytest

from zsync_pipelines.client import ZsyncClient
from zsync_pipelines.domain.actor import Actor
from zsync_pipelines.domain.api_key import Scope
from zsync_pipelines.domain.config import Audience, Sync
from zsync_pipelines.domain.run import RunStatus
from zsync_pipelines.errors import (
    ApiError,
    ConfigError,
    ConflictError,
    IdempotencyMismatchError,
    LeaseHeldError,
    NotFoundError,
    StaleRevisionError,
    UnauthorizedError,
)
from zsync_pipelines.service.api_keys import create_key
from zsync_pipelines.wire.runs import TriggerRequest
from zsync_pipelines_tests.support.in_process_api import InProcess
from zsync_pipelines_tests.support.world import SYNC, World

EVERYBODY = {"type": "condition", "condition_type": "property", "column": "id", "operator": "is_not_null"}


def test_objects_are_created_changed_and_deleted(client: ZsyncClient) -> None:
    made = client.audiences.create({"name": "Every body", "model_id": "people", "filter_tree": EVERYBODY})
    assert (made.id, made.model_id, made.managed_by) == ("every_body", "people", "api")
    read = client.audiences.get("every_body")
    assert read == made
    assert read.etag == made.etag is not None
    changed = client.audiences.replace("every_body", {"model_id": "people", "filter_tree": EVERYBODY, "name": "All"})
    assert (changed.name, changed.etag != made.etag) == ("All", True)
    with pytest.raises(StaleRevisionError, match="changed since"):
        client.audiences.replace("every_body", made, if_match=made.etag)
    assert client.audiences.replace("every_body", made, if_match=changed.etag).name == "Every body"
    with pytest.raises(StaleRevisionError):
        client.audiences.delete("every_body", if_match=made.etag)
    client.audiences.delete("every_body")
    with pytest.raises(NotFoundError, match="every_body"):
        client.audiences.get("every_body")
    with pytest.raises(ConflictError, match="not given out again"):
        client.audiences.create({"id": "every_body", "model_id": "people", "filter_tree": EVERYBODY})


def test_a_declaration_is_a_body(client: ZsyncClient) -> None:
    tree = {"type": "and", "children": [EVERYBODY]}
    audience = Audience.model_validate({"id": "declared", "model": "people", "filter_tree": tree})
    assert client.audiences.create(audience).id == "declared"
    sync = Sync.model_validate({"id": "s", "audience": "declared", "destination": "table", "sync_mode": "mirror"})
    with pytest.raises(ConfigError, match="the same target"):
        client.syncs.create(sync)


def test_lists_go_over_all_pages(client: ZsyncClient, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(5):
        body = {"id": f"model_{number}", "source_id": "shop", "table": "people", "entity_key": "id"}
        client.models.create(body, offline=True)
    monkeypatch.setattr("zsync_pipelines.client.connection._LARGEST_PAGE", 2)
    assert [found.id for found in client.models.list()] == [*(f"model_{n}" for n in range(5)), "people"]
    assert [found.id for found in client.models.list(limit=3)] == ["model_0", "model_1", "model_2"]
    assert [found.id for found in client.syncs.list(audience_id="active")] == [SYNC]
    assert list(client.syncs.list(audience_id="declared", status="paused")) == []
    assert [found.id for found in client.sources.list()] == ["shop"]


def test_faults_come_as_the_errors_that_they_are(client: ZsyncClient) -> None:
    with pytest.raises(ConfigError) as caught:
        client.models.create({"id": "bad", "source_id": "shop", "table": "people", "entity_key": 1, "colour": "red"})
    assert {problem.path for problem in caught.value.problems} == {"entity_key", "colour"}
    with pytest.raises(ConflictError, match="managed by files"):
        client.sources.delete("shop")
    with pytest.raises(NotFoundError, match="people_to_tabel"):
        client.trigger("people_to_tabel")
    with pytest.raises(ConfigError, match="goes with rebaseline"):
        client.trigger(SYNC, {"forget_leavers": True})


def test_a_run_is_asked_for_and_waited_for(client: ZsyncClient, world: World) -> None:
    dry = client.trigger(SYNC, TriggerRequest(dry_run=True))
    assert dry.status is RunStatus.QUEUED
    seen = []
    assert client.wait(dry, watch=lambda run: seen.append(run.status)).status is RunStatus.SUCCESS
    assert seen[-1] is RunStatus.SUCCESS
    plan = client.plan(SYNC, dry.id)
    assert (plan.rows_to_add, plan.members, plan.guard["verdict"]) == (3, 3, "pass")
    assert world.held() == {}
    run = client.wait(client.trigger(SYNC, idempotency_key="one"))
    assert (run.status, run.rows_added, run.trigger) == (RunStatus.SUCCESS, 3, "api")
    assert client.trigger(SYNC, idempotency_key="one").id == run.id
    with pytest.raises(IdempotencyMismatchError):
        client.trigger(SYNC, {"full_resync": True}, idempotency_key="one")
    assert world.held() == {1: "a@x.org", 2: "b@x.org", 3: "c@x.org"}
    assert client.run(SYNC, run.id) == run
    assert [found.id for found in client.runs(SYNC)] == [run.id, dry.id]
    assert client.syncs.get(SYNC).last_run_id == run.id
    assert list(client.rejections(SYNC)) == list(client.rejections(SYNC, run.id)) == []
    explained = client.explain(SYNC, "1")
    assert explained.member is True
    assert "acknowledged" in explained.explanation[0]
    with pytest.raises(NotFoundError, match="has no plan"):
        client.plan(SYNC, run.id)
    with pytest.raises(ConflictError, match="is over"):
        client.cancel(SYNC, run.id)


def test_a_run_that_waits_is_in_the_way_until_it_is_cancelled(
    client: ZsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(InProcess, "idle", True)
    waiting = client.trigger(SYNC)
    with pytest.raises(LeaseHeldError, match=waiting.id) as caught:
        client.trigger(SYNC)
    assert (caught.value.sync_id, caught.value.run_id) == (SYNC, waiting.id)
    with pytest.raises(TimeoutError, match="has not ended within"):
        client.wait(waiting, timeout=0.2)
    assert client.cancel(SYNC, waiting.id).status is RunStatus.CANCELLED
    assert client.wait(waiting).status is RunStatus.CANCELLED


def test_pause_and_resume_also_of_what_files_manage(client: ZsyncClient) -> None:
    assert client.pause(SYNC).status == "paused"
    assert client.pause(SYNC).status == "paused"
    assert [found.id for found in client.syncs.list(status="paused")] == [SYNC]
    assert client.resume(SYNC).status == "active"
    newest, before = client.audit(kind="syncs", object_id=SYNC, limit=2)
    assert (newest.action, before.action, newest.actor) == ("resume", "pause", "api-key:tests")
    assert next(client.audit(kind="syncs", before=newest.number)) == before


def test_looks_at_audiences_and_destinations(client: ZsyncClient) -> None:
    assert client.estimate("active").members == 3
    preview = client.preview("active", limit=2)
    assert len(preview.rows) == 2
    assert "a@x.org" not in str(preview), "personal data is masked"
    made = client.wait_for_evaluation(client.evaluate("active"))
    assert (made.status, made.members) == ("success", 3)
    assert client.evaluations("active", limit=1) == [made]
    steps = client.test_destination("table")
    assert steps
    assert {step.status for step in steps} <= {"ok", "skipped"}
    assert client.fields("table").fields is None
    (audience,) = (found for found in client.summarize_audiences() if found.id == "active")
    assert (audience.members, audience.syncs) == (3, [SYNC])


def test_health_needs_no_key_and_everything_else_does(address: str) -> None:
    with ZsyncClient(address, "zsk_wrong") as client:
        assert client.health().checks == {"database": "ok", "dagster": "ok"}
        with pytest.raises(UnauthorizedError, match="wrong, expired or revoked"):
            client.syncs.get(SYNC)


def test_a_sync_that_is_cleaned_up_goes(client: ZsyncClient, world: World) -> None:
    with pytest.raises(ConflictError, match="managed by files"):
        client.remove_members_and_delete(SYNC)
    url = f"sqlite:///{world.folder / 'short.db'}"
    client.destinations.create({"id": "short", "type": "sql", "config": {"url": url, "table": "lived"}})
    made = client.syncs.create(
        {"id": "short", "audience_id": "active", "destination_id": "short", "sync_mode": "mirror", "field_mapping": []}
    )
    assert client.wait(client.trigger("short")).rows_added == 3
    with pytest.raises(StaleRevisionError):
        client.remove_members_and_delete("short", if_match='"0"')
    gone = client.wait(client.remove_members_and_delete("short", if_match=made.etag))
    assert (gone.status, gone.rows_removed) == (RunStatus.SUCCESS, 3)
    with pytest.raises(NotFoundError, match="It was deleted"):
        client.syncs.get("short")
    assert next(client.runs("short")).id == gone.id


def test_what_a_key_may_not_do(address: str, world: World) -> None:
    reading = create_key(world.open(), "reading", [Scope.READ], None, Actor("cli", "ann"))[1]
    with ZsyncClient(address, reading) as client, pytest.raises(ApiError, match="needs the scope 'trigger'") as caught:
        client.trigger(SYNC)
    assert caught.value.status == 403
