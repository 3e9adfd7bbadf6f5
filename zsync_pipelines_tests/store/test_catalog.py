"""The stored configuration, on SQLite and PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa

from zsync_pipelines.domain.actor import FILES
from zsync_pipelines.domain.catalog import Catalog, ConfigObject
from zsync_pipelines.domain.config import Audience, Destination, Kind, ManagedBy, Model, Source, Sync, SyncStatus
from zsync_pipelines.store.catalog import CatalogStore
from zsync_pipelines.store.database import open_database, writing
from zsync_pipelines.store.tables import objects

NOW = datetime(2024, 5, 1, 12, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)
TREE = {"condition_type": "property", "column": "since", "operator": "less_than", "value": datetime(2024, 1, 1)}
SYNC = Sync.model_validate({"id": "vip", "audience": "active", "destination": "crm", "sync_mode": "mirror"})
PAUSED = SYNC.model_copy(update={"status": SyncStatus.PAUSED})
ALL: list[ConfigObject] = [
    Source(id="shop", url="duckdb:///${SHOP}"),
    Model.model_validate({"id": "customers", "source": "shop", "table": "c", "entity_key": "id"}),
    Audience.model_validate({"id": "active", "model": "customers", "filter_tree": TREE}),
    Audience.model_validate(
        {
            "id": "nested",
            "model": "customers",
            "filter_tree": {"condition_type": "audience", "operator": "in", "audience": "active"},
        }
    ),
    Destination(id="crm", type="sql", config={"url": "x", "deep": {"a": [1, 2.5, None, "${B}"]}}),
    SYNC,
]


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def engine(request: pytest.FixtureRequest) -> Iterator[sa.Engine]:
    if request.param == "sqlite":
        url = f"sqlite:///{request.getfixturevalue('tmp_path')}/zsync.db"
    else:
        url = request.getfixturevalue("postgres_url")
    engine = open_database(url)
    yield engine
    engine.dispose()


@pytest.fixture
def store(engine: sa.Engine) -> CatalogStore:
    store = CatalogStore(engine)
    store.save(ALL, [], ManagedBy.FILES, NOW, FILES)
    return store


def damage(engine: sa.Engine, kind: str, object_id: str, body: dict[str, object]) -> None:
    with writing(engine) as connection:
        where = (objects.c.kind == kind, objects.c.id == object_id)
        connection.execute(sa.update(objects).where(*where).values(body=body))


def test_an_empty_database_is_an_empty_catalog(engine: sa.Engine) -> None:
    loaded = CatalogStore(engine).load()
    assert (loaded.catalog, dict(loaded.broken), dict(loaded.stored)) == (Catalog(), {}, {})


def test_what_is_saved_is_loaded(store: CatalogStore) -> None:
    loaded = store.load()
    assert loaded.broken == {}
    assert loaded.catalog.sources["shop"].url == "duckdb:///${SHOP}"
    assert loaded.catalog.destinations["crm"].config == {"url": "x", "deep": {"a": [1, 2.5, None, "${B}"]}}
    assert loaded.catalog.syncs == {"vip": SYNC}
    assert loaded.managed_by(Kind.SYNC, "vip") is ManagedBy.FILES
    assert loaded.managed_by(Kind.SYNC, "nope") is None
    row = loaded.stored[Kind.SYNC, "vip"]
    assert (row.created_at, row.updated_at) == (NOW, NOW)
    assert row.body == {"audience_id": "active", "destination_id": "crm", "sync_mode": "mirror"}


def test_loading_takes_three_queries(engine: sa.Engine, store: CatalogStore) -> None:
    statements: list[str] = []
    sa.event.listen(engine, "before_cursor_execute", lambda _c, _x, text, *_: statements.append(text))
    store.load()
    assert len([s for s in statements if s.startswith("SELECT")]) == 3


def test_saving_again_keeps_the_creation_time(store: CatalogStore) -> None:
    store.save([SYNC.model_copy(update={"name": "VIP"})], [], ManagedBy.FILES, LATER, FILES)
    row = store.load().stored[Kind.SYNC, "vip"]
    assert (row.created_at, row.updated_at) == (NOW, LATER)
    assert isinstance(row.value, Sync)
    assert row.value.name == "VIP"


def test_a_deleted_id_leaves_a_tombstone_and_can_be_revived(store: CatalogStore) -> None:
    store.set_status("vip", SyncStatus.PAUSED, LATER, FILES)
    store.save([], [(Kind.SYNC, "vip")], ManagedBy.FILES, LATER, FILES)
    loaded = store.load()
    assert (Kind.SYNC, "vip") not in loaded.stored
    assert (Kind.SYNC, "vip") in loaded.deleted
    assert loaded.catalog.syncs == {}
    store.save([SYNC], [], ManagedBy.API, LATER, FILES)
    loaded = store.load()
    assert loaded.catalog.syncs == {"vip": SYNC}
    assert loaded.status("vip") is SyncStatus.ACTIVE, "a deleted sync's pause went with it"
    assert loaded.stored[Kind.SYNC, "vip"].created_at == LATER


@pytest.mark.parametrize(
    ("kind", "object_id", "broken"),
    [
        ("sources", "shop", {"shop", "customers", "active", "nested", "vip"}),
        ("models", "customers", {"customers", "active", "nested", "vip"}),
        ("audiences", "active", {"active", "nested", "vip"}),
        ("audiences", "nested", {"nested"}),
        ("destinations", "crm", {"crm", "vip"}),
        ("syncs", "vip", {"vip"}),
    ],
)
def test_what_no_longer_loads_breaks_only_what_refers_to_it(
    engine: sa.Engine, store: CatalogStore, kind: str, object_id: str, broken: set[str]
) -> None:
    damage(engine, kind, object_id, {"from_a": "later version"})
    loaded = store.load()
    assert {i for _, i in loaded.broken} == broken
    usable = {i for k in Kind for i in loaded.catalog.of_kind(k)}
    assert usable == {value.id for value in ALL} - broken
    assert "later version" not in str(loaded.broken), "values are not shown"
    if kind != "syncs" and "vip" in broken:
        assert "cannot be used" in loaded.broken[Kind.SYNC, "vip"]
    assert loaded.status("vip") is SyncStatus.ACTIVE


def test_a_missing_reference_breaks_too(store: CatalogStore) -> None:
    store.save([], [(Kind.AUDIENCE, "active")], ManagedBy.FILES, LATER, FILES)
    loaded = store.load()
    assert loaded.broken[Kind.SYNC, "vip"] == "its audience 'active' cannot be used: it does not exist"


@pytest.mark.parametrize(
    ("configured", "operator", "applied", "effective"),
    [
        ("active", None, "paused", "paused"),
        ("paused", None, "active", "active"),
        ("active", "paused", "active", "paused"),
        ("active", "paused", "paused", "paused"),
        ("paused", "paused", "active", "paused"),
        ("paused", "active", "paused", "active"),
        ("paused", "active", "active", "active"),
        ("active", "active", "paused", "paused"),
    ],
)
def test_an_operators_pause_survives_and_a_resume_lasts_until_the_configured_status_changes(
    store: CatalogStore, configured: str, operator: str | None, applied: str, effective: str
) -> None:
    by_status = {"active": SYNC, "paused": PAUSED}
    store.save([by_status[configured]], [], ManagedBy.FILES, NOW, FILES)
    if operator:
        store.set_status("vip", SyncStatus(operator), LATER, FILES)
        assert store.load().status("vip").value == operator
    store.save([by_status[applied]], [], ManagedBy.FILES, LATER, FILES)
    assert store.load().status("vip").value == effective


def test_a_resume_that_was_dropped_does_not_come_back(store: CatalogStore) -> None:
    store.save([PAUSED], [], ManagedBy.FILES, NOW, FILES)
    store.set_status("vip", SyncStatus.ACTIVE, LATER, FILES)
    for sync, expected in ((PAUSED, "active"), (SYNC, "active"), (PAUSED, "paused")):
        store.save([sync], [], ManagedBy.FILES, LATER, FILES)
        assert store.load().status("vip").value == expected


def test_saving_is_all_or_nothing(store: CatalogStore) -> None:
    with pytest.raises(RuntimeError), store.editing() as edit:
        edit.save([SYNC.model_copy(update={"name": "lost"})], [(Kind.SOURCE, "shop")], ManagedBy.FILES, LATER, FILES)
        raise RuntimeError
    loaded = store.load()
    assert loaded.catalog.syncs == {"vip": SYNC}
    assert "shop" in loaded.catalog.sources


def test_each_change_is_counted(store: CatalogStore) -> None:
    before = store.load()
    store.save([SYNC.model_copy(update={"name": "VIP"})], [], ManagedBy.FILES, LATER, FILES)
    after = store.load()
    assert after.version == before.version + 1
    assert after.stored[Kind.SYNC, "vip"].revision == before.stored[Kind.SYNC, "vip"].revision + 1


def test_a_pause_is_a_change_of_the_sync(store: CatalogStore) -> None:
    before = store.load().stored[Kind.SYNC, "vip"]
    store.set_status("vip", SyncStatus.PAUSED, LATER, FILES)
    row = store.load().stored[Kind.SYNC, "vip"]
    assert row.revision == before.revision + 1
    assert row.updated_at == before.updated_at


def test_a_store_that_remembers_sees_what_others_write(engine: sa.Engine, store: CatalogStore) -> None:
    remembering = store.remembering()
    first = remembering.load()
    assert remembering.load() is first
    store.save([SYNC.model_copy(update={"name": "VIP"})], [], ManagedBy.FILES, LATER, FILES)
    assert remembering.load().catalog.syncs["vip"].name == "VIP"
    store.set_status("vip", SyncStatus.PAUSED, LATER, FILES)
    assert remembering.load().status("vip") is SyncStatus.PAUSED
