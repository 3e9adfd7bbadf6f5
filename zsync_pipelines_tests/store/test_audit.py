"""The audit log, on SQLite and PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
import sqlalchemy as sa

from zsync_pipelines.domain.actor import FILES, Actor
from zsync_pipelines.domain.config import Destination, Kind, ManagedBy, Source, Sync, SyncStatus
from zsync_pipelines.store.audit import AuditEntry, AuditStore
from zsync_pipelines.store.catalog import CatalogStore
from zsync_pipelines.store.database import open_database, writing

NOW = datetime(2024, 5, 1, 12, tzinfo=UTC)
ANN = Actor("cli", "ann")
SYNC = Sync.model_validate({"id": "vip", "audience": "active", "destination": "crm", "sync_mode": "mirror"})


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def engine(request: pytest.FixtureRequest) -> Iterator[sa.Engine]:
    home = f"sqlite:///{request.getfixturevalue('tmp_path')}/zsync.db"
    url = home if request.param == "sqlite" else request.getfixturevalue("postgres_url")
    engine = open_database(url)
    yield engine
    engine.dispose()


def told(entries: list[AuditEntry]) -> list[tuple[str, str, str | None, str | None]]:
    return [(e.actor, e.action, e.kind, e.object_id) for e in entries]


def test_entries_are_read_newest_first_in_pages_that_new_ones_do_not_shift(engine: sa.Engine) -> None:
    store = AuditStore(engine)
    with writing(engine) as connection:
        for n in range(5):
            store.record(connection, NOW, ANN, "update", "syncs", f"s{n % 2}", {"n": n}, {"n": n + 1})
    first = store.page(limit=2)
    assert [e.before for e in first] == [{"n": 4}, {"n": 3}]
    with writing(engine) as connection:
        store.record(connection, NOW, FILES, "delete", "sources", "shop", {"n": 9})
    rest = store.page(before=first[-1].number)
    assert [(e.before, e.after) for e in rest] == [({"n": n}, {"n": n + 1}) for n in (2, 1, 0)]
    assert [e.object_id for e in store.page(kind="syncs", object_id="s1")] == ["s1", "s1"]
    assert told(store.page(actor="files")) == [("files", "delete", "sources", "shop")]
    assert store.page(actor="cli") == []
    newest = store.page(limit=1)[0].to_json()
    assert newest == {**newest, "at": "2024-05-01T12:00:00Z", "before": {"n": 9}, "after": None}


def test_each_write_of_configuration_is_recorded_with_it(engine: sa.Engine) -> None:
    catalog, audit = CatalogStore(engine, lambda kind, body, type_: {**body, "seen_as": type_}), AuditStore(engine)
    crm = Destination(id="crm", type="sql", config={"table": "t"})
    catalog.save([crm, SYNC], [], ManagedBy.API, NOW, ANN)
    assert told(audit.page()) == [("cli:ann", "create", "syncs", "vip"), ("cli:ann", "create", "destinations", "crm")]
    assert [(e.before, (e.after or {})["seen_as"]) for e in audit.page()] == [(None, "sql"), (None, "sql")]
    named = SYNC.model_copy(update={"name": "VIP"})
    catalog.save([crm, named], [(Kind.SOURCE, "never_was")], ManagedBy.API, NOW, FILES)
    (entry,) = audit.page(before=99, limit=1)
    assert told([entry]) == [("files", "update", "syncs", "vip")]
    assert entry.before is not None
    assert "name" not in entry.before
    assert entry.after == {**entry.before, "name": "VIP"}
    catalog.save([], [(Kind.SYNC, "vip")], ManagedBy.API, NOW, ANN)
    assert told(audit.page(limit=1)) == [("cli:ann", "delete", "syncs", "vip")]
    assert len(audit.page()) == 4, "what stays as it was is not recorded"


def test_what_is_undone_is_not_recorded(engine: sa.Engine) -> None:
    catalog = CatalogStore(engine)
    with pytest.raises(RuntimeError), catalog.editing() as edit:
        edit.save([Source(id="shop", url="x")], [], ManagedBy.API, NOW, ANN)
        raise RuntimeError
    assert AuditStore(engine).page() == []


def test_without_a_mask_no_value_is_recorded(engine: sa.Engine) -> None:
    CatalogStore(engine).save([Source(id="shop", url="postgresql://u:p@h/d")], [], ManagedBy.API, NOW, ANN)
    assert [e.after for e in AuditStore(engine).page()] == [{"url": "***"}]


def test_a_pause_is_recorded_once(engine: sa.Engine) -> None:
    catalog, audit = CatalogStore(engine), AuditStore(engine)
    catalog.save([SYNC], [], ManagedBy.API, NOW, ANN)
    revision = catalog.load().stored[Kind.SYNC, "vip"].revision
    for status in (SyncStatus.ACTIVE, SyncStatus.PAUSED, SyncStatus.PAUSED, SyncStatus.ACTIVE):
        catalog.set_status("vip", status, NOW, FILES)
    paused, active = {"status": "paused"}, {"status": "active"}
    assert [(e.action, e.before, e.after) for e in audit.page(actor="files")] == [
        ("resume", paused, active),
        ("pause", active, paused),
    ]
    assert catalog.load().stored[Kind.SYNC, "vip"].revision == revision + 2
