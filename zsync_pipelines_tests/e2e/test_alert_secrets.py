"""A run through Dagster whose alerts arrive at one target and fail at others: its exit code is its own, and the
addresses, which hold secrets, are looked for wherever the commands leave traces."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import yaml

from zsync_pipelines_tests.support.inbox import inbox, mailbox
from zsync_pipelines_tests.support.world import SYNC, World

ROOT = Path(__file__).parents[2]
TOKEN, PASSWORD, EMAIL = "t0k3n-planted", "pa55-planted", "very.private@example.org"


def test_a_partial_failure_is_told_and_no_secret_of_a_target_is_in_any_trace(tmp_path):
    world = World(tmp_path)
    world.people({1: EMAIL, 2: "b@x.org"})
    world.at_destination("CREATE TABLE contacts (id INTEGER PRIMARY KEY, email TEXT)")
    world.at_destination("INSERT INTO contacts VALUES (1, 'a stranger')")
    world.sync["alerts"] = ["${HOOK}", "${HOOK}x", "${MAIL}", "https://hooks.slack.com/services/${SLACK}"]
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(world.config))
    for name in ("dagster.yaml", "workspace.yaml"):
        shutil.copy(ROOT / name, tmp_path)
    with inbox() as hook, mailbox() as mails:
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("ZSYNC_", "DAGSTER_"))},
            "ZSYNC_HOME": str(tmp_path / "home"),
            "HOOK": f"http://user:{PASSWORD}@{hook.host}/{TOKEN}?token={TOKEN}",
            "MAIL": f"mailto://user:{PASSWORD}@{mails.host}?from=a@x.org&to=b@x.org",  # it takes no password
            "SLACK": TOKEN,
        }

        def zsync(*command):
            command = [str(Path(sys.executable).parent / "zsync"), *command]
            return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, check=False)

        hook.script.extend([200, 500])
        ran = [zsync("apply", "config.yaml"), zsync("run", SYNC)]
        assert [done.returncode for done in ran] == [0, 3], ran
        told = hook.take()
        assert [(alert["event"], alert["previous_state"]) for alert in told] == [("partial_failure", None)] * 2
        ran += [zsync("list"), zsync("alert-test", SYNC)]
        assert [done.returncode for done in ran[2:]] == [0, 1]
    printed = b"".join(done.stdout + done.stderr for done in ran)
    assert b"alerts.1 of sync 'people_to_table' was not told: HTTP 500" in ran[1].stderr
    assert b"alert not sent: people_to_table: alerts.2" in ran[2].stdout
    traces = {"what was printed": printed, "what was sent": str(told).encode()}
    for path in tmp_path.rglob("*"):
        if path.is_file() and path not in (world.source, world.table) and path.suffix != ".parquet":
            traces[str(path)] = path.read_bytes()
    for place, content in traces.items():
        for secret in (TOKEN, PASSWORD, EMAIL):
            assert secret.encode() not in content, (place, secret)
