from __future__ import annotations

from pathlib import Path

import duckdb
import pytest
import sqlalchemy as sa

from zsync_pipelines.cli.audiences import audience
from zsync_pipelines_tests.cli.faces import Commands
from zsync_pipelines_tests.config.examples import example, write

TABLES = """
CREATE TABLE customers (customer_id BIGINT, email VARCHAR, country VARCHAR);
CREATE TABLE purchases (customer_id BIGINT, purchased_on DATE, amount DECIMAL(10, 2));
INSERT INTO customers SELECT i, 'person' || i || '@example.com', 'US' FROM range(1, 31) r(i);
INSERT INTO purchases SELECT i, DATE '2024-01-01', 10 FROM range(1, 13) r(i);
INSERT INTO customers VALUES (1, 'person1@example.com', 'US');
"""


@pytest.fixture
def shop(zsync: Commands, monkeypatch: pytest.MonkeyPatch) -> Commands:
    """The example with its source, applied."""
    with duckdb.connect(str(zsync.home / "shop.duckdb")) as connection:
        connection.execute(TABLES)
    monkeypatch.setenv("SHOP_DB", str(zsync.home / "shop.duckdb"))
    zsync.apply()
    return zsync


def test_list(zsync: Commands) -> None:
    assert "no audiences yet" in zsync("audience", "list").stdout
    assert zsync.json("audience", "list") == []
    zsync.apply()
    lines = zsync("audience", "list").stdout.splitlines()
    assert lines[0].split() == ["audience", "name", "model", "schedule", "syncs", "members", "as", "of"]
    assert lines[1].split() == ["active", "-", "customers", "-", "vip", "-", "-"]
    assert [found["id"] for found in zsync.json("audience", "list")] == ["active"]


def test_estimate(shop: Commands) -> None:
    result = shop("audience", "estimate", "active", "--as-of", "2024-02-01")
    assert result.exit_code == 0, result.output
    lines = [line.split() for line in result.stdout.splitlines()]
    assert ["members", "12"] in lines
    assert ["of", "the", "model", "30"] in lines
    assert ["rows", "that", "repeat", "a", "key", "1"] in lines
    assert "40% of the model's entities, as of 2024-02-01 00:00:00Z" in result.stdout
    document = shop.json("audience", "estimate", "active", "--as-of", "2023-02-01")
    assert (document["members"], document["percent"], document["as_of"]) == (0, 0.0, "2023-02-01T00:00:00Z")


def test_preview(shop: Commands) -> None:
    result = shop("audience", "preview", "active")
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert lines[0].split() == ["customer_id", "email", "country"]
    assert len(lines) == 12
    assert "person" not in result.stdout
    assert "--show" in lines[-1]
    shown = shop("audience", "preview", "active", "--show", "--limit", "3", "--columns", "email, spend_90d")
    assert shown.stdout.count("@example.com") == 3
    assert shown.stdout.splitlines()[0].split() == ["customer_id", "email", "spend_90d"]
    document = shop.json(
        "audience", "preview", "active", "--limit", "2", "--columns", "spend_90d", "--as-of", "2024-02-01"
    )
    assert document["masked"] == []
    assert [row["values"] for row in document["rows"]] == [{"spend_90d": "10.00"}] * 2
    assert "has no members as of 2023" in shop("audience", "preview", "active", "--as-of", "2023-01-01").stdout


def test_sql(shop: Commands) -> None:
    result = shop("audience", "sql", "active", "--as-of", "2024-02-01")
    assert result.stdout.startswith("SELECT m.customer_id AS entity_key, m.email AS email\n")
    assert "-- parameter 2: 'US'" in result.stdout
    document = shop.json("audience", "sql", "active", "--as-of", "2024-02-01", "--columns", "")
    assert document["columns"] == []
    assert document["parameters"] == ["2024-02-01", "US", "NO"]


@pytest.mark.parametrize("command", ["estimate", "preview", "sql"])
def test_unknown_ids_exit_2_with_near_matches(zsync: Commands, command: str) -> None:
    zsync.apply()
    result = zsync("audience", command, "actve")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "did you mean 'active'" in result.stderr
    assert zsync.json("audience", command, "actve", code=2)["problems"][0]["message"]


@pytest.mark.parametrize("command", ["estimate", "preview", "sql"])
def test_errors_of_the_source_exit_1(zsync: Commands, command: str) -> None:
    zsync.apply(example(sources__shop__url=f"duckdb:///{zsync.home}/gone.duckdb"))
    result = zsync("audience", command, "active")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "gone.duckdb" in result.stderr
    assert "Traceback" not in result.output


@pytest.mark.postgres
def test_no_error_holds_the_password(zsync: Commands, postgres_server: sa.URL) -> None:
    url = postgres_server.set(username="nobody_here", password="hunter2-planted").render_as_string(hide_password=False)
    zsync.apply(example(sources__shop__url=url))
    result = zsync("audience", "estimate", "active")
    assert result.exit_code == 1
    assert "hunter2" not in result.output


def test_wrong_usage_exits_2(shop: Commands) -> None:
    assert shop("audience", "preview", "active", "--limit", "0").exit_code == 2
    assert shop("audience", "preview", "active", "--as-of", "soon").exit_code == 2
    result = shop("audience", "preview", "active", "--columns", "emial")
    assert result.exit_code == 2
    assert "did you mean 'email'" in result.stderr


def test_apply_checks_the_source_unless_offline(zsync: Commands, tmp_path: Path) -> None:
    url = f"duckdb:///{tmp_path}/gone.duckdb"
    offline = zsync.apply(example(sources__shop__url=url))
    assert offline.exit_code == 0
    assert "not checked: " in offline.stderr
    assert "sources.shop: not asked (--offline)" in offline.stderr
    changed = example(sources__shop__url=url, models__customers__timezone="Europe/Berlin")
    path = str(write(tmp_path / "conf.yaml", changed))
    result = zsync("apply", path)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "sources.shop.url: there is no DuckDB file" in result.stderr
    assert "--offline applies without asking the sources" in result.stderr
    assert [problem["path"] for problem in zsync.json("apply", path, code=2)["problems"]] == ["sources.shop.url"]
    assert zsync.json("apply", path, "--offline")["unchecked"][0]["path"] == "sources.shop"


def test_every_command_has_help_and_json() -> None:
    for name, command in audience.commands.items():
        assert command.help, name
        assert any("--json" in parameter.opts for parameter in command.params), name
