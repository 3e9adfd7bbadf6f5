"""Runs that are asked for over the API, in a real `dagster dev`: launched, followed, cancelled; definitions that follow
the configuration without a restart."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from zsync_pipelines.domain.run import RunOptions, RunStatus, Trigger
from zsync_pipelines.orchestration.webserver import Webserver
from zsync_pipelines.service.dispatcher import Dispatcher
from zsync_pipelines.service.launching import check_can_launch
from zsync_pipelines.service.trigger import request_run
from zsync_pipelines_tests.support.dagster_dev import dagster_dev, until
from zsync_pipelines_tests.support.receiver import receiver
from zsync_pipelines_tests.support.world import SYNC, World

PEOPLE = {n: f"p{n}@x.org" for n in range(40)}
TAGS = "query($id: ID!) { runOrError(runId: $id) { ... on Run { status tags { key value } } } }"
JOBS = """query { repositoriesOrError { ... on RepositoryConnection { nodes {
  pipelines { name } schedules { name } } } } }"""
TERMINATE = "mutation($id: String!) { terminateRun(runId: $id) { __typename } }"


@pytest.fixture
def hook():
    with receiver() as found:
        yield found


@pytest.fixture
def world(tmp_path, hook):
    world = World(tmp_path)
    config = {"url": hook.url, "max_batch_rows": 2, "max_in_flight": 1}
    world.config["destinations"]["table"] = {"type": "webhook", "config": config}
    world.people(PEOPLE)
    world.apply()
    return world


def opened(world, dev):
    app = replace(world.open(), clock=lambda: datetime.now(UTC))
    return replace(app, settings=replace(app.settings, dagster_url=dev.url))


def names(dev, field):
    nodes = dev.ask(JOBS)["nodes"]
    return {found["name"] for node in nodes for found in node[field]}


def ended(app, run):
    found = app.runs.get(run.id)
    return found if found.status.is_final else None


def test_from_request_to_success_and_live_definitions(world, hook):
    real, go = hook.handle, threading.Event()
    go.set()

    def handle(headers, body):
        go.wait(2)  # a batch in two seconds until it is let go
        return real(headers, body)

    hook.handle = handle
    with dagster_dev(world.folder, world.env) as dev:
        app = opened(world, dev)
        webserver = Webserver(dev.url)
        check_can_launch(app, webserver)
        dispatcher = Dispatcher(app, webserver)
        dispatcher.start()
        try:
            asked = request_run(app, SYNC, RunOptions(), "api-key:ci")
            dispatcher.wake()
            run = until(lambda: ended(app, asked), 90)
            assert (run.status, run.trigger, run.counts.added) == (RunStatus.SUCCESS, Trigger.API, len(PEOPLE))
            known = dev.ask(TAGS, id=run.dagster_run_id)
            tags = {tag["key"]: tag["value"] for tag in known["tags"]}
            assert tags["zsync/run_id"] == run.id
            assert (tags["zsync/trigger"], tags["zsync/sync_id"], tags["zsync/requested_by"]) == (
                "api", SYNC, "api-key:ci",
            )  # fmt: skip

            go.clear()
            under_way = request_run(app, SYNC, RunOptions(full_resync=True), "api-key:ci")
            dispatcher.wake()
            until(lambda: app.runs.get(under_way.id).status is RunStatus.RUNNING, 60)
            world.config["syncs"]["another"] = {**world.sync, "schedule": "hourly", "destination": "second"}
            world.config["destinations"]["second"] = {"type": "webhook", "config": {"url": f"{hook.url}second"}}
            world.apply()
            until(lambda: "sync_another" in names(dev, "pipelines"), 60)
            assert "sync_another_schedule" in names(dev, "schedules")
            dev.ask(TERMINATE, id=app.runs.get(under_way.id).dagster_run_id)
            stopped = until(lambda: ended(app, under_way), 60)
            assert stopped.status is RunStatus.CANCELLED
            assert 0 < stopped.counts.updated < len(PEOPLE), "it went on through the reload"
        finally:
            go.set()
            dispatcher.stop()
            webserver.close()
            app.database.dispose()


@pytest.mark.soak
def test_without_the_api_the_sensor_launches_and_has_the_definitions_follow(world):
    with dagster_dev(world.folder, world.env) as dev:
        app = opened(world, dev)
        asked = request_run(app, SYNC, RunOptions(), "api-key:ci")
        run = until(lambda: ended(app, asked), 120)
        assert run.status is RunStatus.SUCCESS
        assert dev.ask(TAGS, id=run.dagster_run_id)["status"] in ("STARTED", "SUCCESS")
        world.config["syncs"]["another"] = {**world.sync, "destination": "second"}
        second = {
            "type": "webhook",
            "config": {"url": world.config["destinations"]["table"]["config"]["url"] + "second"},
        }
        world.config["destinations"]["second"] = second
        world.apply()
        until(lambda: "sync_another" in names(dev, "pipelines"), 120)
        later = request_run(app, "another", RunOptions(), "api-key:ci")
        assert until(lambda: ended(app, later), 120).status is RunStatus.SUCCESS
        app.database.dispose()
