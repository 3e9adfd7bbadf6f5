"""A hundred syncs triggered at once, through a real Dagster: `python -m benchmarks.api.triggers [--syncs N]`.

Starts `zsync dev` in a temporary folder, makes the syncs over REST, triggers all of them at the same moment, and waits.
Prints how long the answers and the runs took, and whether each run was begun by exactly one Dagster run.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import duckdb
import httpx

_PEOPLE = 100
_PATIENCE_SECONDS = 1_800
_RUNS = """
query($filter: RunsFilter) {
  runsOrError(filter: $filter, limit: 1000) {... on Runs {results {runId status tags {key value}}}}
}
"""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--syncs", type=int, default=100)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="zb") as name:
        found = measure(Path(name), options.syncs)
    print(
        json.dumps(found, indent=2) if options.json else "\n".join(f"{key:28} {value}" for key, value in found.items())
    )


def measure(folder: Path, syncs: int) -> dict[str, Any]:
    """One run of all: figures in seconds."""
    with duckdb.connect(str(folder / "shop.duckdb")) as shop:
        shop.execute(f"CREATE TABLE people AS SELECT range AS id, 'p' || range AS email FROM range({_PEOPLE})")
    ui, api = _free_port(), _free_port()
    out = folder / "out.txt"
    command = [sys.executable, "-m", "zsync_pipelines", "dev", "--port", str(ui), "--api-port", str(api)]
    env = {**os.environ, "ZSYNC_API_RATE": "10000", "ZSYNC_API_BURST": "10000", "ZSYNC_API_TIMEOUT": "120"}
    with out.open("w") as stdout, (folder / "log.txt").open("w") as log:
        process = subprocess.Popen(command, cwd=folder, env=env, stdout=stdout, stderr=log)
    try:
        key = _wait_for(lambda: re.search(r"zsk_\S+", out.read_text()) if "Ctrl-C" in out.read_text() else None, 300)
        with httpx.Client(
            base_url=f"http://127.0.0.1:{api}/api/v1", headers={"Authorization": f"Bearer {key[0]}"}, timeout=120
        ) as client:
            _make(client, syncs)
            return _trigger_all(client, f"http://127.0.0.1:{ui}/graphql", [f"s{n}" for n in range(syncs)])
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(120)


def _make(client: httpx.Client, syncs: int) -> None:
    tree = {"type": "condition", "condition_type": "property", "column": "id", "operator": "is_not_null"}
    made = [
        ("sources", {"id": "shop", "url": "duckdb:///shop.duckdb"}),
        ("models", {"id": "people", "source_id": "shop", "table": "people", "entity_key": "id"}),
        ("audiences", {"id": "all", "model_id": "people", "filter_tree": tree}),
        ("destinations", {"id": "crm", "type": "sql", "config": {"url": "sqlite:///crm.db"}}),
    ]
    made += [
        (
            "audience-syncs",
            {
                "id": f"s{n}",
                "audience_id": "all",
                "destination_id": "crm",
                "sync_mode": "mirror",
                "config": {"table": f"t{n}"},
            },
        )
        for n in range(syncs)
    ]
    for path, body in made:
        answer = client.post(f"/{path}?offline=true", json=body)
        assert answer.status_code == httpx.codes.CREATED, answer.text


def _trigger_all(client: httpx.Client, graphql: str, ids: list[str]) -> dict[str, Any]:
    began = time.monotonic()

    def trigger(sync_id: str) -> tuple[float, str]:
        sent = time.monotonic()
        answer = client.post(f"/audience-syncs/{sync_id}/trigger")
        assert answer.status_code == httpx.codes.ACCEPTED, answer.text
        return time.monotonic() - sent, answer.json()["id"]

    with ThreadPoolExecutor(len(ids)) as pool:
        answered = list(pool.map(trigger, ids))
    waits = sorted(wait for wait, _ in answered)
    runs = dict(zip(ids, (run_id for _, run_id in answered), strict=True))

    def all_ended() -> list[dict[str, Any]] | None:
        time.sleep(2)
        found = [client.get(f"/audience-syncs/{sync_id}/runs/{run_id}").json() for sync_id, run_id in runs.items()]
        return None if any(run["status"] in ("queued", "running") for run in found) else found

    ended = _wait_for(all_ended, _PATIENCE_SECONDS)
    took = time.monotonic() - began
    body = {"query": _RUNS, "variables": {"filter": {"tags": [{"key": "zsync/trigger", "value": "api"}]}}}
    launched = httpx.post(graphql, json=body, timeout=60).json()["data"]["runsOrError"]["results"]
    tagged = Counter(tag["value"] for run in launched for tag in run["tags"] if tag["key"] == "zsync/run_id")
    histories = [len(client.get(f"/audience-syncs/{sync_id}/runs").json()) for sync_id in ids]
    return {
        "syncs": len(ids),
        "answer median s": round(statistics.median(waits), 3),
        "answer slowest s": round(waits[-1], 3),
        "all runs ended after s": round(took, 1),
        "runs by status": dict(Counter(run["status"] for run in ended)),
        "rows added": sum(run["rows_added"] for run in ended),
        "runs in each history": dict(Counter(histories)),
        "Dagster runs of each run": dict(Counter(tagged.values())),
        "run and Dagster run agree": sum(
            any(run["dagster_run_id"] == d["runId"] and d["status"] == "SUCCESS" for d in launched) for run in ended
        ),
    }


def _wait_for(look: Any, seconds: float) -> Any:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        found = look()
        if found is not None:
            return found
        time.sleep(0.2)
    raise TimeoutError("it took too long")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


if __name__ == "__main__":
    main()
