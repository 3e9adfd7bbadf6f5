"""`zsync serve`: where it listens, and what it refuses before it does."""

from __future__ import annotations

import socket

import httpx
import pytest
from click.testing import CliRunner

from zsync_pipelines.cli.main import cli
from zsync_pipelines.cli.serve import _is_loopback
from zsync_pipelines_tests.support.service import serving


@pytest.fixture
def env(tmp_path):
    return {"ZSYNC_HOME": str(tmp_path / "home"), "ZSYNC_DAGSTER_URL": "http://127.0.0.1:9"}


def test_beyond_this_machine_it_needs_a_key(env):
    done = CliRunner().invoke(cli, ["serve", "--host", "0.0.0.0", "--port", "0"], env=env)
    assert done.exit_code == 1
    assert "zsync api-key create" in done.output


def test_a_revoked_key_is_none(env):
    CliRunner().invoke(cli, ["api-key", "create", "ci"], env=env)
    CliRunner().invoke(cli, ["api-key", "revoke", "ci"], env=env)
    assert CliRunner().invoke(cli, ["serve", "--host", "0.0.0.0", "--port", "0"], env=env).exit_code == 1


HERE, BEYOND = ["127.0.0.1", "127.9.9.9", "::1", "localhost"], ["0.0.0.0", "::", "nowhere.invalid"]


@pytest.mark.parametrize(("host", "loopback"), [*((h, True) for h in HERE), *((h, False) for h in BEYOND)])
def test_what_is_beyond_this_machine(host, loopback):
    assert _is_loopback(host) is loopback


def test_a_port_that_is_taken_is_told(env):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = CliRunner().invoke(cli, ["serve", "--port", str(port)], env=env)
    assert done.exit_code == 1
    assert f"port {port}" in done.output
    assert "--port" in done.output


def test_it_serves_health_to_all_and_nothing_else_without_a_key(env, tmp_path):
    with serving(tmp_path, env) as base:
        assert httpx.get(f"{base}/healthz").json() == {"status": "ok"}
        ready = httpx.get(f"{base}/readyz")
        assert ready.json() == {"status": "ok", "checks": {"database": "ok", "dagster": "does not answer"}}
        for path in ("/api/v1/audience-syncs", "/docs", "/openapi.json", "/docs/swagger-ui.css"):
            assert httpx.get(base + path).status_code == 401
