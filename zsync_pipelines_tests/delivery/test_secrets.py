"""Known secrets and known personal data, looked for in every trace that a delivery leaves, whatever goes wrong."""

from __future__ import annotations

import json
import logging
import traceback

import pytest
import sqlalchemy as sa

from zsync_pipelines.domain.run import RunOptions
from zsync_pipelines.errors import ZsyncError
from zsync_pipelines.service.explain import explain
from zsync_pipelines.service.history import list_rejections
from zsync_pipelines.service.run_sync import run_sync
from zsync_pipelines.service.setup import load_setup
from zsync_pipelines.store.tables import metadata
from zsync_pipelines_tests.support.receiver import DROP_AFTER, HTML, receiver
from zsync_pipelines_tests.support.world import SYNC, World

TOKEN, HEADER, SIGNING = "t0ken-in-the-query", "bearer-in-a-header", "whsec_c2lnbmluZy1rZXktb2YtdGhlLXRlc3Q="
EMAIL = "very.private@example.org"
SECRETS = [TOKEN, HEADER, SIGNING, SIGNING.removeprefix("whsec_"), "signing-key-of-the-test", EMAIL]


@pytest.mark.parametrize("fault", ["none", 401, 500, 422, DROP_AFTER, HTML, "refused", "unreachable"])
def test_nothing_of_it_is_in_any_trace(tmp_path, caplog, fault):
    caplog.set_level(logging.DEBUG)
    texts: list[str] = []
    with receiver() as hook:
        url = f"{hook.url}?token={TOKEN}" if fault != "unreachable" else f"http://127.0.0.1:1/x?token={TOKEN}"
        world = World(tmp_path, env={"HOOK": url, "AUTH": HEADER, "SIGN": SIGNING})
        config = {"url": "${HOOK}", "secret": "${SIGN}", "headers": {"authorization": "${AUTH}"}}
        world.config["destinations"]["table"] = {"type": "webhook", "config": config}
        world.people({1: EMAIL, 2: "b@x.org"})
        world.apply()
        app = world.open()
        if fault == "refused":
            hook.refuse = lambda row: f"mailbox {row['email']} is full"
        elif fault not in ("none", "unreachable"):
            hook.script.extend([fault] * 10)
        app = _quick(app)
        try:
            texts.append(repr(run_sync(app, SYNC, RunOptions())))
        except ZsyncError as error:
            texts += ["".join(traceback.format_exception(error)), repr(error), str(error)]
    setup = load_setup(app, SYNC)
    destination = setup.connect()
    texts += [repr(app), str(setup), repr(destination), repr(setup.settings)]
    destination.close()
    texts += [json.dumps(run.to_json()) for run in app.runs.recent(SYNC)]
    texts += [json.dumps(refused.to_json()) for refused in list_rejections(app, SYNC)]
    texts.append(json.dumps(explain(app, SYNC, "1").to_json()))
    texts += [record.getMessage() + str(record.args) for record in caplog.records]
    with app.database.connect() as connection:
        for table in metadata.sorted_tables:
            texts += [str(row) for row in connection.execute(sa.select(table))]
    assert len(texts) > 15
    for secret in SECRETS:
        assert not [text for text in texts if secret in text], secret
    for path in (tmp_path / "home").rglob("*"):
        if path.is_file() and path.suffix != ".parquet":  # field values rest in these files, and only there
            assert not [secret for secret in SECRETS if secret.encode() in path.read_bytes()], path


def _quick(app):
    from dataclasses import replace

    waited: list[float] = []
    return replace(app, sleep=waited.append, monotonic=lambda: sum(waited))
