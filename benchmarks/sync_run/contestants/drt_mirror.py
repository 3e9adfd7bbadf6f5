"""drt-core, the closest open-source rival: mode `mirror` with its `diff` strategy."""

from __future__ import annotations

import json
import os

import psycopg2
from drt.cli.main import app
from measured import COLUMNS, MEMBERS, At, contest


def configure(at: At) -> None:
    """drt takes its files from the home and the working folder, and does not make the table."""
    connection = psycopg2.connect(at.url)
    with connection, connection.cursor() as cursor:
        cursor.execute(f"CREATE TABLE {at.table} ({COLUMNS})")
    connection.close()
    server = {"type": "postgres", "host": at.host, "port": 5432, "dbname": at.database, "user": "postgres"}
    sync = {
        "name": "contacts",
        "model": MEMBERS,
        "destination": {**server, "table": f"public.{at.table}", "upsert_key": ["id"]},
        "sync": {
            "mode": "mirror",
            "incremental_strategy": "diff",
            "mirror": {"strategy": "diff"},
            "batch_size": 10_000,
        },
    }
    # JSON is YAML.
    for name, content in {
        ".drt/profiles.yml": {"default": server},
        "drt_project.yml": {"name": "people", "profile": "default"},
        "syncs/contacts.yml": sync,
    }.items():
        file = at.folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(content))


def run(at: At) -> None:
    os.environ["HOME"] = str(at.folder)
    os.environ["DRT_TELEMETRY"] = "0"
    os.chdir(at.folder)
    app(["run", "--quiet"], standalone_mode=False)


if __name__ == "__main__":
    contest(run, run, before=configure)
