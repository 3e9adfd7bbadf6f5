"""Known secrets and known personal data, looked for wherever a run leaves traces."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import sqlalchemy as sa
import yaml

from zsync_pipelines_tests.support.world import SYNC, World

ROOT = Path(__file__).parents[2]
PASSWORD = "pa55-w0rd-with-%-sign"
EMAIL = "very.private@example.org"


@pytest.fixture
def guarded_url(postgres_url):
    """A PostgreSQL URL with a user whose password is known to this test, over TCP or socket alike."""
    engine = sa.create_engine(postgres_url)
    with engine.begin() as connection:
        connection.execute(sa.text("DROP ROLE IF EXISTS marketer"))
        quoted = PASSWORD.replace("%", "%%")
        connection.exec_driver_sql(f"CREATE ROLE marketer LOGIN SUPERUSER PASSWORD '{quoted}'")
        connection.exec_driver_sql("CREATE TABLE people (id bigint, email text, active boolean)")
        connection.execute(sa.text("INSERT INTO people VALUES (1, :email, true)"), {"email": EMAIL})
    engine.dispose()
    return sa.make_url(postgres_url).set(username="marketer", password=PASSWORD).render_as_string(hide_password=False)


@pytest.mark.parametrize(
    "broken",
    [pytest.param(False, id="a run that works", marks=pytest.mark.soak), pytest.param(True, id="a run that fails")],
)
def test_no_secret_and_no_field_value_in_any_trace(tmp_path, guarded_url, broken):
    world = World(tmp_path)
    world.config["sources"]["shop"]["url"] = "${SHOP_URL}"
    world.config["destinations"]["table"]["config"]["url"] = "${CRM_URL}"
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(world.config))
    for name in ("dagster.yaml", "workspace.yaml"):
        shutil.copy(ROOT / name, tmp_path)
    crm = sa.make_url(guarded_url).set(database="no_such_database").render_as_string(hide_password=False)
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("ZSYNC_", "DAGSTER_"))},
        "ZSYNC_HOME": str(tmp_path / "home"),
        "SHOP_URL": guarded_url,
        "CRM_URL": crm if broken else guarded_url,
    }
    printed = ""
    for command in (
        ["apply", "config.yaml"],
        ["check"],
        ["plan", SYNC],
        ["run", SYNC, "--json"],
        ["runs", SYNC],
        ["explain", SYNC, "1"],
        ["list"],
    ):
        zsync = str(Path(sys.executable).parent / "zsync")
        done = subprocess.run([zsync, *command], cwd=tmp_path, env=environment, capture_output=True, check=False)
        printed += (done.stdout + done.stderr).decode()
    assert ('"status": "success"' in printed) is not broken
    traces = {"what was printed": printed.encode()}
    for path in tmp_path.rglob("*"):
        if path.is_file() and path.suffix != ".parquet":  # field values rest in these files, and only there
            traces[str(path)] = path.read_bytes()
    for place, content in traces.items():
        assert PASSWORD.encode() not in content, place
        assert b"pa55-w0rd" not in content, place
        assert EMAIL.encode() not in content, place
