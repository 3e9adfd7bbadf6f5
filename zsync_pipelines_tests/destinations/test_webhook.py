"""The webhook: its body and signature as documented, and every kind of answer through whole runs."""

from __future__ import annotations

import json
import time
from dataclasses import replace

import pytest
from standardwebhooks import Webhook

from zsync_pipelines.destinations.registry import parse_settings
from zsync_pipelines.domain.run import RunOptions, RunStatus
from zsync_pipelines.errors import ConfigError, ZsyncError
from zsync_pipelines.service.run_sync import run_sync
from zsync_pipelines_tests.support.receiver import DROP_AFTER, DROP_BEFORE, HTML, LIE_LONG, LIE_SHORT, receiver
from zsync_pipelines_tests.support.world import SYNC, World, changes

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
PEOPLE = {n: f"p{n}@x.org" for n in range(10)}


@pytest.fixture
def hook():
    with receiver() as found:
        yield found


@pytest.fixture
def world(tmp_path, hook):
    world = World(tmp_path)
    world.config["destinations"]["table"] = {"type": "webhook", "config": {"url": hook.url, "secret": SECRET}}
    world.waited = []
    world.people(PEOPLE)
    return world


def run(world, **options):
    """Run without really waiting; the waits are noted."""
    world.apply()
    app = replace(world.open(), sleep=world.waited.append, monotonic=lambda: time.monotonic() + sum(world.waited))
    try:
        return run_sync(app, SYNC, RunOptions(**options))
    except ZsyncError:
        return app.runs.recent(SYNC, 1)[0]


def held(hook):
    return {int(key): row["email"] for key, row in hook.held.items()}


def configure(world, **settings):
    world.config["destinations"]["table"]["config"] |= settings


def test_the_body_is_as_documented_and_the_signature_verifies_independently(world, hook):
    ended = run(world)
    ((headers, body),) = hook.seen
    assert Webhook(SECRET).verify(body, headers) is not None
    sent = json.loads(body)
    assert {k: v for k, v in sent.items() if k != "rows"} == {
        "sync_id": SYNC, "run_id": ended.id, "batch": 0, "operation": "add",
    }  # fmt: skip
    assert sorted(sent["rows"], key=lambda row: row["entity_key"])[1] == {"entity_key": 1, "email": "p1@x.org"}
    assert headers["content-type"] == "application/json"


def test_adds_updates_and_removes_and_a_remove_carries_the_fields_as_delivered(world, hook):
    run(world)
    world.people({**{n: v for n, v in PEOPLE.items() if n != 3}, 4: "new@x.org", 11: "x@x.org"})
    assert changes(run(world)) == (1, 1, 1)
    assert held(hook) == {**{n: v for n, v in PEOPLE.items() if n != 3}, 4: "new@x.org", 11: "x@x.org"}
    bodies = [json.loads(body) for _, body in hook.seen[1:]]
    assert [body["operation"] for body in bodies] == ["add", "update", "remove"]
    assert bodies[2]["rows"] == [{"entity_key": 3, "email": "p3@x.org"}]


@pytest.mark.parametrize("answer", [b"", b"{}", b"OK", b"[1, 2]", b'{"rejected": []}'])
def test_a_2xx_accepts_whatever_else_it_says(world, hook, answer):
    hook.answer = answer
    assert changes(run(world)) == (10, 0, 0)


def test_rows_named_in_the_answer_are_refused_with_their_reason(world, hook):
    hook.refuse = lambda row: "bad domain" if row["entity_key"] in (2, 7) else None
    ended = run(world)
    assert ended.status is RunStatus.PARTIAL_FAILURE
    assert (ended.counts.added, ended.counts.failed) == (8, 2)
    assert {(r.entity_key, r.reason) for r in world.open().refusals.sample(ended.id)} == {
        ("2", "bad domain"), ("7", "bad domain"),
    }  # fmt: skip


def test_reasons_are_scrubbed_of_the_row_s_values(world, hook):
    hook.refuse = lambda row: f"mailbox {row['email']} is full" if row["entity_key"] == 2 else None
    ended = run(world)
    (refused,) = world.open().refusals.sample(ended.id)
    assert refused.reason == "mailbox *** is full"


@pytest.mark.parametrize("fault", [500, 503, 408, DROP_BEFORE, DROP_AFTER, HTML, LIE_LONG, LIE_SHORT])
def test_an_unknown_outcome_is_settled_by_a_definite_answer_to_a_retry_of_the_same_batch(world, hook, fault):
    hook.script.extend([fault, fault])
    ended = run(world)
    assert ended.status is RunStatus.SUCCESS
    assert changes(ended) == (10, 0, 0)
    assert held(hook) == PEOPLE
    assert len({headers["webhook-id"] for headers, _ in hook.seen}) == 1
    assert len({body for _, body in hook.seen}) == 1
    assert len(hook.seen) == 3


@pytest.mark.parametrize("fault", [500, DROP_AFTER, DROP_BEFORE])
def test_when_the_retries_are_used_up_the_rows_are_unconfirmed_and_the_next_run_makes_it_right(world, hook, fault):
    hook.script.extend([fault] * 5)
    ended = run(world)
    assert ended.status is RunStatus.PARTIAL_FAILURE
    assert ended.counts.unconfirmed == 10
    assert ended.counts.added == 0
    world.people({n: v for n, v in PEOPLE.items() if n > 2})
    following = run(world)
    assert following.status is RunStatus.SUCCESS
    assert held(hook) == {n: v for n, v in PEOPLE.items() if n > 2}
    assert changes(run(world)) == (0, 0, 0)


def test_rate_limit_answers_spend_no_tries_and_wait_as_asked(world, hook):
    hook.script.extend([(429, {"retry-after": "7"})] * 12)
    ended = run(world)
    assert ended.status is RunStatus.SUCCESS
    assert sum(world.waited) == pytest.approx(84, rel=0.01)


def test_refused_credentials_stop_the_run_and_nothing_is_believed(world, hook):
    hook.script.extend([401])
    ended = run(world)
    assert ended.status is RunStatus.ERROR
    assert "credentials" in ended.error
    assert len(hook.seen) == 1
    assert changes(run(world)) == (10, 0, 0)


def test_another_4xx_refuses_the_batch_which_is_split_to_find_the_rows_at_fault(world, hook):
    real = hook.handle

    def strict(headers, body):
        if any(row["entity_key"] == 6 for row in json.loads(body)["rows"]):
            hook.seen.append((headers, body))
            return 422, {}, b""
        return real(headers, body)

    hook.handle = strict
    ended = run(world)
    assert (ended.counts.added, ended.counts.failed) == (9, 1)
    (refused,) = world.open().refusals.sample(ended.id)
    assert (refused.entity_key, refused.reason) == ("6", "HTTP 422")


def test_nobody_listening_is_an_error_of_the_run(world, hook):
    configure(world, url="http://127.0.0.1:1/hook")
    ended = run(world)
    assert ended.status is RunStatus.ERROR
    assert "127.0.0.1" in ended.error
    assert "5 tries" in ended.error


def test_batches_go_side_by_side_and_never_two_operations_on_one_member(world, hook):
    configure(world, max_batch_rows=2, max_in_flight=3)
    assert changes(run(world)) == (10, 0, 0)
    assert len(hook.seen) == 5
    world.people({n: f"new{n}@x.org" for n in range(5, 15)})
    run(world, allow_removals=5)
    operations = [json.loads(body)["operation"] for _, body in hook.seen[5:]]
    assert operations == sorted(operations, key=["add", "update", "remove"].index)
    assert held(hook) == {n: f"new{n}@x.org" for n in range(5, 15)}


def test_settings_are_checked_and_secrets_stay_out_of_sight():
    for wrong in (
        {"url": "ftp://x"},
        {"url": "http://x", "secret": "whsec_!"},
        {"url": "http://x", "secret": "s3cret"},
    ):
        with pytest.raises(ConfigError) as error:
            parse_settings("webhook", wrong)
        assert "s3cret" not in str(error.value)
    settings = parse_settings(
        "webhook", {"url": "http://x/?token=s3cret", "secret": SECRET, "headers": {"a": "s3cret"}}
    )
    assert "s3cret" not in repr(settings)
    assert SECRET not in repr(settings)
