"""api-key, audit, export."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml

from zsync_pipelines.domain.actor import FILES
from zsync_pipelines.domain.config import ManagedBy, Source
from zsync_pipelines.service.api_keys import Authenticator
from zsync_pipelines.service.bootstrap import open_zsync
from zsync_pipelines_tests.cli.faces import Commands


def test_a_key_is_printed_once_and_alone_on_stdout(zsync: Commands) -> None:
    created = zsync("api-key", "create", "ci")
    assert created.exit_code == 0
    token = created.stdout.strip()
    assert re.fullmatch(r"zsk_[0-9a-f]{16}_[\w-]{43}", token)
    assert "may read, write, trigger; keep it now" in created.stderr
    assert Authenticator(open_zsync()).authenticate(token).name == "ci"
    listed = zsync("api-key", "list").stdout
    assert token[-20:] not in listed
    assert listed.splitlines()[1].split()[:5] == ["ci", "active", "read,", "write,", "trigger"]


def test_scopes_and_expiry(zsync: Commands) -> None:
    made = zsync.json("api-key", "create", "ci", "--scope", "trigger", "--scope", "read", "--expires", "90d")
    assert made["scopes"] == ["read", "trigger"]
    assert made["key"].startswith(f"zsk_{made['id']}_")
    expires = datetime.fromisoformat(made["expires_at"])
    assert abs(expires - datetime.now(UTC) - timedelta(days=90)) < timedelta(minutes=5)
    late = zsync.json("api-key", "create", "late", "--expires", "2999-01-31")
    assert late["expires_at"].startswith("2999-01-31T00:00:00")
    (first, _) = zsync.json("api-key", "list")
    assert first == {name: value for name, value in made.items() if name != "key"}


@pytest.mark.parametrize(
    ("args", "text"),
    [
        (["a b"], "is no name of a key"),
        (["a", "--scope", "admin"], "'read', 'write', 'trigger'"),
        (["a", "--expires", "soon"], "'soon' is no age, such as 90d, and no ISO date or time"),
        (["a", "--expires", "2001-01-01"], "the key would expire at once"),
        (["a", "--expires", "99999999w"], "is too long"),
        (["taken"], "there is or was a key named 'taken'"),
    ],
)
def test_what_is_refused(zsync: Commands, args: list[str], text: str) -> None:
    zsync("api-key", "create", "taken")
    result = zsync("api-key", "create", *args)
    assert (result.exit_code, result.stdout) == (2, "")
    assert text in result.stderr


def test_revoke(zsync: Commands) -> None:
    assert "there is no API key" in zsync("api-key", "list").stdout
    zsync("api-key", "create", "ci")
    assert zsync.json("api-key", "revoke", "ci") == {"name": "ci", "revoked": True}
    assert [key["status"] for key in zsync.json("api-key", "list")] == ["revoked"]
    result = zsync("api-key", "revoke", "cli")
    assert (result.exit_code, result.stderr) == (2, "error: no API key 'cli', did you mean 'ci'? known: ci.\n")


def test_audit(zsync: Commands, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "nothing of that kind" in zsync("audit").stdout
    monkeypatch.setattr("getpass.getuser", lambda: "ann")
    zsync.apply()
    zsync("pause", "vip")
    zsync("api-key", "create", "ci")
    lines = [line.split() for line in zsync("audit", "--actor", "cli:ann").stdout.splitlines()]
    assert lines[1][3:] == ["cli:ann", "create", "api_keys.ci", "-"]
    assert lines[2][3:] == ["cli:ann", "pause", "syncs.vip", "status"]
    assert len(lines) == 1 + 5 + 2
    found = zsync.json("audit", "--object", "syncs.vip", "--limit", "1")
    assert [(e["action"], e["before"], e["after"]) for e in found] == [
        ("pause", {"status": "active"}, {"status": "paused"})
    ]
    older = zsync.json("audit", "--object", "syncs.vip", "--before", str(found[0]["number"]))
    assert [e["action"] for e in older] == ["create"]
    assert zsync("audit", "--object", "vip").exit_code == 2


def test_a_user_without_a_name_is_recorded_by_number(zsync: Commands, monkeypatch: pytest.MonkeyPatch) -> None:
    def nameless() -> str:
        raise KeyError

    monkeypatch.setattr("getpass.getuser", nameless)
    zsync("api-key", "create", "ci")
    assert re.fullmatch(r"cli:uid \d+", zsync.json("audit")[0]["actor"])


def test_export(zsync: Commands, tmp_path: Path) -> None:
    zsync.apply()
    empty = zsync("export")
    assert (empty.exit_code, empty.stdout) == (0, "{}\n")
    assert "the API manages none" in empty.stderr
    app = open_zsync()
    app.catalog.save([Source(id="crm", url="sqlite:///crm.db")], [], ManagedBy.API, app.clock(), FILES)
    document = {"sources": {"crm": {"url": "sqlite:///crm.db"}}}
    assert yaml.safe_load(zsync("export", "--kind", "sources").stdout) == document
    assert zsync.json("export") == document
    assert zsync("export", "--kind", "syncs").stdout == "{}\n"
    file = tmp_path / "out.yaml"
    written = zsync("export", str(file))
    assert (written.stdout, yaml.safe_load(file.read_text())) == ("", document)
    assert f"1 objects exported to {file}" in written.stderr
    assert zsync("export", str(tmp_path / "no" / "out.yaml")).exit_code == 1
