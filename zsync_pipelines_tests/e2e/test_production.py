"""What deploy/ describes, as it would run: code server, webserver and daemon as separate processes, all on PostgreSQL.

And `zsync dev` in an empty folder. Both take half a minute of starting Dagster, so they are in `make soak`.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from zsync_pipelines.cli.main import cli
from zsync_pipelines.cli.processes import Patience, Service, supervise
from zsync_pipelines.domain.run import RunStatus
from zsync_pipelines.orchestration.retention import LOCATION_TAG
from zsync_pipelines_tests.support.deployment import DEPLOY, UNITS, command, elsewhere, environment
from zsync_pipelines_tests.support.receiver import receiver
from zsync_pipelines_tests.support.world import SYNC, World

COMMANDS = Path(sys.executable).parent
PEOPLE = {1: "a@x.org", 2: "b@x.org"}
pytestmark = pytest.mark.soak

LAUNCH = """
mutation($job: String!, $location: String!, $tags: [ExecutionTag!]) { launchRun(executionParams: {
  selector: {jobName: $job, repositoryName: "__repository__", repositoryLocationName: $location},
  executionMetadata: {tags: $tags}
}) { __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message } } }
"""
RUN = "query($id: ID!) { runOrError(runId: $id) { ... on Run { status tags { key value } } } }"
LOCATIONS = "{ workspaceOrError { ... on Workspace { locationEntries { name locationOrLoadError { __typename } } } } }"
RELOAD = """
mutation($location: String!) { reloadRepositoryLocation(repositoryLocationName: $location) { __typename
  ... on WorkspaceLocationEntry { locationOrLoadError { __typename } } } }
"""


class Dagster:
    """A webserver's GraphQL."""

    def __init__(self, url: str) -> None:
        self.url = url
        until = time.monotonic() + 60
        while (entry := self._location())["locationOrLoadError"]["__typename"] != "RepositoryLocation":
            assert time.monotonic() < until, entry
            time.sleep(0.2)
        self.location = entry["name"]

    def _location(self) -> Any:
        (entry,) = self.ask(LOCATIONS)["workspaceOrError"]["locationEntries"]
        return entry if entry["locationOrLoadError"] else {"locationOrLoadError": {"__typename": "Loading"}}

    def ask(self, query: str, **variables: Any) -> Any:
        body = json.dumps({"query": query, "variables": variables}).encode()
        request = urllib.request.Request(f"{self.url}/graphql", body, {"Content-Type": "application/json"})
        try:
            with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=60) as answer:
                found = json.load(answer)
        except urllib.error.HTTPError as error:
            pytest.fail(error.read().decode())
        assert "errors" not in found, found
        return found["data"]

    def launch(self, sync_id: str) -> str:
        launched = self.ask(LAUNCH, job=f"sync_{sync_id}", location=self.location, tags=[])["launchRun"]
        assert launched["__typename"] == "LaunchRunSuccess", launched
        return launched["run"]["runId"]

    def end_of(self, run_id: str, within: float = 90) -> Any:
        until = time.monotonic() + within
        while time.monotonic() < until:
            run = self.ask(RUN, id=run_id)["runOrError"]
            if run["status"] in ("SUCCESS", "FAILURE", "CANCELED"):
                return run
            time.sleep(0.2)
        pytest.fail(f"run {run_id} did not end: {run}")


def free_port() -> int:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def stop() -> None:
    """As an operator would."""
    os.kill(os.getpid(), signal.SIGTERM)


@pytest.fixture
def databases(postgres_url):
    """Of zsync and of Dagster, which cannot share one."""
    name = sa.make_url(postgres_url).database
    admin = sa.create_engine(postgres_url, isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(sa.text(f'CREATE DATABASE "{name}_dagster"'))
    dagster = sa.make_url(postgres_url).set(database=f"{name}_dagster", drivername="postgresql+psycopg2")
    yield postgres_url, dagster.render_as_string(hide_password=False)
    with admin.connect() as connection:
        connection.execute(sa.text(f'DROP DATABASE "{name}_dagster" WITH (FORCE)'))
    admin.dispose()


def test_the_production_shape(tmp_path, databases):
    control, dagster_database = databases
    home, state = tmp_path / "etc", tmp_path / "state"
    home.mkdir()
    ports = {"4266": str(free_port()), "3000": str(free_port()), "8642": str(free_port())}
    for name in ("dagster.yaml", "workspace.yaml"):
        (home / name).write_text((DEPLOY / name).read_text().replace("4266", ports["4266"]))
    settings = {
        **environment(),
        "DAGSTER_HOME": str(home),
        "DAGSTER_DATABASE_URL": dagster_database,
        "DAGSTER_LOGS": str(state / "dagster"),
        "ZSYNC_HOME": str(state),
        "ZSYNC_DATABASE_URL": control,
        "ZSYNC_STORAGE_URL": str(state / "storage"),
        "ZSYNC_DAGSTER_URL": f"http://127.0.0.1:{ports['3000']}",
    }
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("ZSYNC_", "DAGSTER_"))}
    env = {**kept, **settings, "PATH": f"{COMMANDS}{os.pathsep}{os.environ['PATH']}"}
    world = World(tmp_path, env=settings)
    world.people(PEOPLE)
    world.apply()

    places = {"/opt/zsync/bin": str(COMMANDS), "/etc/zsync": str(home), **ports}
    ready = {"zsync-webserver": ports["3000"], "zsync-api": ports["8642"]}
    services = []
    for unit in UNITS:
        if unit.stem == "zsync-api" and "serve" not in cli.list_commands(None):  # pragma: no cover
            continue
        port = ready.get(unit.stem, ports["3000"])  # the others have no HTTP; their own checks are asked below
        path = "healthz" if unit.stem == "zsync-api" else "server_info"
        services.append(
            Service(unit.stem, elsewhere(command(unit), places), f"http://127.0.0.1:{port}/{path}", env)
        )  # fmt: skip

    def check(*words: str) -> bool:
        return subprocess.run(words, env=env, capture_output=True, check=False, timeout=60).returncode == 0

    def use() -> None:
        until = time.monotonic() + 60
        while not check("dagster", "api", "grpc-health-check", "-h", "127.0.0.1", "-p", ports["4266"]):
            assert time.monotonic() < until
        dagster = Dagster(settings["ZSYNC_DAGSTER_URL"])
        assert dagster.location == "zsync"
        run = dagster.end_of(dagster.launch(SYNC))
        assert run["status"] == "SUCCESS"
        assert {"key": LOCATION_TAG, "value": "zsync"} in run["tags"], "by which old runs are found"
        assert world.held() == PEOPLE
        while not check("dagster-daemon", "liveness-check"):
            assert time.monotonic() < until

        world.config["syncs"]["second"] = {**world.sync, "config": {"table": "second"}}
        world.apply()
        reloaded = dagster.ask(RELOAD, location="zsync")["reloadRepositoryLocation"]
        assert reloaded["locationOrLoadError"]["__typename"] == "RepositoryLocation", reloaded
        assert dagster.end_of(dagster.launch("second"))["status"] == "SUCCESS"
        assert world.held("second") == PEOPLE
        stop()

    assert supervise(services, use, Patience(120, 20, 10)) is signal.SIGTERM
    written = sorted(path.name for path in home.rglob("*") if path.is_file())
    assert written == ["dagster.yaml", "workspace.yaml"], "DAGSTER_HOME may be read-only"
    assert list(state.rglob("*.db")) == [], "all that SQLite would hold is in PostgreSQL"
    engine = sa.create_engine(sa.make_url(dagster_database).set(drivername="postgresql+psycopg"))
    with engine.connect() as connection:
        assert connection.scalar(sa.text("SELECT count(*) FROM runs WHERE status = 'SUCCESS'")) == 2
    engine.dispose()


def test_zsync_dev_in_an_empty_folder_shares_its_instance_with_zsync_run(tmp_path):
    world = World(tmp_path, env={"ZSYNC_HOME": str(tmp_path / ".zsync")})
    world.people(PEOPLE)
    world.apply()
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("ZSYNC_", "DAGSTER_"))}
    port = free_port()
    without = [] if "serve" in cli.list_commands(None) else ["--no-api"]
    dev = subprocess.Popen(
        [COMMANDS / "zsync", "dev", "--port", str(port), "--api-port", str(free_port()), *without],
        cwd=tmp_path, env=kept, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        shell = subprocess.run(  # while Dagster starts on a fresh instance
            [COMMANDS / "zsync", "run", SYNC, "--json"],
            cwd=tmp_path,
            env=kept,
            capture_output=True,
            text=True,
            check=False,
        )
        assert shell.returncode == 0, shell.stderr
        line = dev.stdout.readline()
        assert line == f"Dagster   http://127.0.0.1:{port}\n", dev.communicate()
        dagster = Dagster(f"http://127.0.0.1:{port}")
        by_hand = json.loads(shell.stdout)["dagster_run_id"]
        assert dagster.ask(RUN, id=by_hand)["runOrError"]["status"] == "SUCCESS"
        assert dagster.end_of(dagster.launch(SYNC))["status"] == "SUCCESS"
        assert [run.status.value for run in world.open().runs.recent(SYNC)] == ["success", "success"]
    finally:
        dev.send_signal(signal.SIGINT)
        _, told = dev.communicate(timeout=60)
    assert dev.returncode == 130, told
    assert "dagster: " in told
    if shutil.which("pgrep"):
        left = subprocess.run(["pgrep", "-f", str(tmp_path)], capture_output=True, text=True, check=False).stdout
        assert left == ""


@pytest.mark.parametrize("everything", [True, False], ids=["as systemd stops a unit", "Ctrl-C"])
def test_a_run_under_way_ends_in_order_when_its_processes_are_stopped(tmp_path, everything):
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("ZSYNC_", "DAGSTER_"))}
    port = free_port()
    with receiver() as hook:
        real, reached = hook.handle, threading.Event()

        def slow(headers, body):
            if len(hook.seen) == 3:
                reached.set()
            time.sleep(0.2)
            return real(headers, body)

        hook.handle = slow
        world = World(tmp_path, env={"ZSYNC_HOME": str(tmp_path / ".zsync")})
        config = {"url": hook.url, "max_batch_rows": 1, "max_in_flight": 1}
        world.config["destinations"]["table"] = {"type": "webhook", "config": config}
        world.people({n: f"p{n}@x.org" for n in range(1000)})
        world.apply()
        command = [COMMANDS / "zsync", "dev", "--port", str(port), "--no-api"]
        with subprocess.Popen(command, cwd=tmp_path, env=kept, stdout=subprocess.PIPE, text=True) as dev:
            assert dev.stdout.readline().startswith("Dagster")
            Dagster(f"http://127.0.0.1:{port}").launch(SYNC)
            assert reached.wait(60)
            if everything:
                children = Path(f"/proc/{dev.pid}/task/{dev.pid}/children").read_text().split()
                for child in children:
                    os.killpg(int(child), signal.SIGTERM)
            else:
                dev.send_signal(signal.SIGINT)
            assert dev.wait(60) == (1 if everything else 130)
        run = world.open().runs.recent(SYNC, 1)[0]
        assert run.status is RunStatus.CANCELLED
        assert run.counts.added == len(hook.held) == len(hook.seen) >= 3
