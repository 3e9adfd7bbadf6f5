"""schemathesis over the whole OpenAPI document against a running server; `schemathesis.toml` says what is expected."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from zsync_pipelines_tests.support.api import Shop

CONFIG = Path(__file__).with_name("schemathesis.toml")
ST = Path(sys.executable).with_name("st")


def run(shop: Shop, client: httpx.Client, *options: str) -> None:
    command = [str(ST), "--no-color", "--config-file", str(CONFIG), "run", f"{client.base_url}/openapi.json", *options]
    env = {**os.environ, "ZSYNC_TEST_KEY": shop.token()}
    done = subprocess.run(command, cwd=shop.folder, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-8_000:] + done.stderr[-2_000:]
    assert "Tested: " in done.stdout


def test_examples_made_up_requests_and_sequences_of_them(shop: Shop, client: httpx.Client) -> None:
    run(shop, client, "--phases", "examples,fuzzing,stateful", "--max-examples", "5")


@pytest.mark.soak
def test_the_bounds_of_every_parameter_and_most_bodies(shop: Shop, client: httpx.Client) -> None:
    """Without the largest bodies, which take minutes; `make soak` has them."""
    large = ("create_audience", "replace_audience", "create_model", "replace_model")
    run(shop, client, "--phases", "coverage", *(f"--exclude-operation-id={name}" for name in large))


@pytest.mark.soak
def test_everything_at_length(shop: Shop, client: httpx.Client) -> None:
    run(shop, client, "--max-examples", "100")
