"""What configuration that comes over the REST API may not hold."""

from __future__ import annotations

from typing import Any

import pytest

from zsync_pipelines.domain.actor import FILES
from zsync_pipelines.domain.catalog import TYPES, kind_of
from zsync_pipelines.domain.config import Kind, ManagedBy
from zsync_pipelines.service.api_rules import api_faults
from zsync_pipelines.service.bootstrap import Zsync, open_zsync
from zsync_pipelines.service.masked_config import masked_body
from zsync_pipelines.store.loaded_catalog import body_of, destination_type_of


def made(kind: Kind, **body: Any) -> Any:
    return TYPES[kind].model_validate({"id": "x", **body})


def destination(type_: str, **config: Any) -> Any:
    return made(Kind.DESTINATION, type=type_, config=config)


def sync(**body: Any) -> Any:
    return made(Kind.SYNC, audience="a", destination="hook", sync_mode="mirror", **body)


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Zsync:
    home = str(tmp_path_factory.mktemp("home"))
    return open_zsync({"ZSYNC_HOME": home, "ZSYNC_API_ENV": "ZSYNC_SECRET_*, CRM_?"})


WRONG = [
    (made(Kind.SOURCE, url="${DB_URL}"), {"sources.x.url": "may not refer to environment variable 'DB_URL'"}),
    (made(Kind.SOURCE, url="postgresql://u:hunter2@h/d"), {"sources.x.url": "holds a literal password or token"}),
    (made(Kind.SOURCE, url="postgresql://u:***@h/d"), {"sources.x.url": "holds a literal password or token"}),
    (made(Kind.SOURCE, url="sqlite:///${"), {"sources.x.url": "begins a reference that does not end well"}),
    (destination("webhook", url="https://h/", secret="hunter2"), {"destinations.x.config.secret": "given literally"}),
    (
        destination("webhook", url="https://h/", headers={"a": "Bearer hunter2", "b": "${AWS_KEY}"}),
        {"destinations.x.config.headers.a": "given literally", "destinations.x.config.headers.b": "'AWS_KEY'"},
    ),
    (
        destination("webhook", url="https://h/", secret="${ZSYNC_SECRET_X:-hunter2}"),
        {"destinations.x.config.secret": "given literally"},
    ),
    (destination("file", url="s3://b", options={"n": 5}), {"destinations.x.config.options.n": "given literally"}),
    (destination("sql", url="sqlite:///a.db", table="${HOME}"), {"destinations.x.config.table": "'HOME'"}),
    (destination("nope", list="hunter2"), {"destinations.x.config.list": "given literally"}),
    (sync(alerts=["https://h/hunter2"]), {"syncs.x.alerts.0": "given literally"}),
    (sync(config={"secret": "hunter2", "headers": {"a": "${CRM_AB}"}}), {
        "syncs.x.config.secret": "given literally", "syncs.x.config.headers.a": "'CRM_AB'",
    }),
]  # fmt: skip


@pytest.mark.parametrize(("value", "expected"), WRONG)
def test_what_is_refused(app: Zsync, value: Any, expected: dict[str, str]) -> None:
    hook = made(Kind.DESTINATION, type="webhook", config={"url": "https://h/"}).model_copy(update={"id": "hook"})
    app.catalog.save([hook], [], ManagedBy.API, app.clock(), FILES)
    found = {problem.path: problem.message for problem in api_faults(app, value)}
    assert found.keys() == expected.keys()
    for path, text in expected.items():
        assert text in found[path]
    assert "hunter2" not in str(found)


@pytest.mark.parametrize(
    "value",
    [
        made(Kind.SOURCE, url="duckdb:///shop.duckdb"),
        made(Kind.SOURCE, url="postgresql://u:${ZSYNC_SECRET_PW}@h/d", id="shop"),
        destination(
            "webhook", url="https://h/", secret="${CRM_A}", headers={"authorization": "Bearer ${ZSYNC_SECRET_T}"}
        ),
        destination("sql", url="sqlite:///a.db", table="t", adopt=True),
        sync(alerts=["${ZSYNC_SECRET_HOOK}"], config={"url": "https://h/other", "max_batch_rows": 5}),
        made(Kind.MODEL, source="s", query="SELECT '${HOME}' AS a", entity_key="a"),
    ],
)
def test_what_is_allowed(app: Zsync, value: Any) -> None:
    hook = made(Kind.DESTINATION, type="webhook", config={"url": "https://h/"}).model_copy(update={"id": "hook"})
    app.catalog.save([hook], [], ManagedBy.API, app.clock(), FILES)
    loaded = app.catalog.load()
    assert api_faults(app, value, loaded) == []
    kind, body = kind_of(value), body_of(value)
    shown = masked_body(kind, body, destination_type_of(kind, body, loaded.body))
    assert shown == body, "what is stored is shown as it was written, so that it can be sent back"


def test_a_sync_cannot_send_the_secrets_of_files_elsewhere(app: Zsync) -> None:
    config = {"url": "https://h/", "secret": "${CRM_SECRET}"}
    hook = made(Kind.DESTINATION, type="webhook", config=config).model_copy(update={"id": "hook"})
    app.catalog.save([hook], [], ManagedBy.FILES, app.clock(), FILES)
    (fault,) = api_faults(app, sync(config={"url": "https://elsewhere/", "max_batch_rows": 5}))
    assert fault.path == "syncs.x.config.url"
    assert "belongs to destination 'hook', which files manage" in fault.message


def test_the_text_says_what_to_write(app: Zsync) -> None:
    (fault,) = api_faults(app, destination("webhook", url="https://h/", secret="x"))
    assert "write ${ZSYNC_SECRET_...} in its place" in fault.message
    (fault,) = api_faults(app, made(Kind.SOURCE, url="${HOME}"))
    assert fault.message.endswith("allowed over the API: ZSYNC_SECRET_*, CRM_? (ZSYNC_API_ENV)")
