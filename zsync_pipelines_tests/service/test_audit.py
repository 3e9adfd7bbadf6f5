"""What the audit log says of the things that operators and files do."""

from __future__ import annotations

from pathlib import Path

import pytest

from zsync_pipelines.domain.actor import Actor
from zsync_pipelines.errors import NotFoundError
from zsync_pipelines.service import manage
from zsync_pipelines.service.apply import apply_paths
from zsync_pipelines.service.audit import read_audit
from zsync_pipelines.service.bootstrap import Zsync, open_zsync
from zsync_pipelines_tests.config.examples import example, write

ANN = Actor("cli", "ann")


@pytest.fixture
def app(tmp_path: Path) -> Zsync:
    return open_zsync({"ZSYNC_HOME": str(tmp_path / "home")})


def test_applied_files_are_recorded_without_their_secrets(app: Zsync, tmp_path: Path) -> None:
    hook = {"type": "webhook", "config": {"url": "https://h.example/x", "secret": "whsec_aHVudGVyMg=="}}
    document = example(
        sources__shop__url="duckdb:///${SHOP_DB:-shop.duckdb}?password=hunter2",
        destinations__hook=hook,
        syncs__vip__alerts=["https://h.example/hunter2"],
        syncs__vip__config={"table": "people"},
    )
    file = write(tmp_path / "a.yaml", document)
    apply_paths(app, [file], offline=True, actor=ANN)
    entries = read_audit(app)
    assert {(e.actor, e.action) for e in entries} == {("cli:ann", "create")}
    assert {f"{e.kind}.{e.object_id}" for e in entries} == {
        "sources.shop", "models.customers", "audiences.active", "destinations.crm", "destinations.hook", "syncs.vip",
    }  # fmt: skip
    by_kind = {f"{e.kind}.{e.object_id}": e.after for e in entries}
    assert by_kind["sources.shop"] == {"url": "duckdb:///${SHOP_DB:-shop.duckdb}?password=***"}
    assert by_kind["destinations.hook"] == {
        "type": "webhook",
        "config": {"url": "https://h.example/x", "secret": "***"},
    }
    vip = by_kind["syncs.vip"] or {}
    assert (vip["alerts"], vip["config"]) == (["***"], {"table": "people"})
    assert "hunter2" not in str(entries)

    apply_paths(app, [file], offline=True)
    assert len(read_audit(app)) == 6, "an unchanged file changes nothing"
    del document["destinations"]["hook"]
    apply_paths(app, [write(tmp_path / "a.yaml", document)], offline=True, prune=True)
    (newest,) = read_audit(app, limit=1)
    assert (newest.actor, newest.action, newest.object_id, newest.after) == ("files", "delete", "hook", None)


def test_what_operators_do_is_recorded(app: Zsync, tmp_path: Path) -> None:
    apply_paths(app, [write(tmp_path / "a.yaml", example())], offline=True)
    manage.pause(app, "vip", ANN)
    manage.pause(app, "vip", ANN)
    manage.resume(app, "vip", ANN)
    manage.delete_sync(app, "vip", ANN)
    with pytest.raises(NotFoundError):
        manage.delete_sync(app, "vip", ANN)
    entries = read_audit(app, kind="syncs", object_id="vip", actor="cli:ann")
    assert [e.action for e in entries] == ["delete", "resume", "pause"]
    older = read_audit(app, kind="syncs", object_id="vip", before=entries[-1].number)
    assert [(e.actor, e.action) for e in older] == [("files", "create")]
