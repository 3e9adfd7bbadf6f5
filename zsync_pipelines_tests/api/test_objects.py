"""The five verbs on configuration: revisions, pages, filters, who manages what, ids, and requests at once."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from typing import Any

import httpx
import pytest
import yaml

from zsync_pipelines.domain.actor import Actor
from zsync_pipelines.service.apply import apply_paths
from zsync_pipelines.service.manage import pause
from zsync_pipelines_tests.support.api import TREE, V1, Shop, fill, objects_of, problem, without

SYNCS = f"{V1}/audience-syncs"
COLLECTIONS = ("audience-syncs", "audiences", "destinations", "models", "sources")
READ_ONLY = ("created_at", "updated_at", "managed_by", "broken", "last_synced_at", "last_run_id")


def at_once(count: int, work: Callable[[int], Any]) -> list[Any]:
    barrier = Barrier(count)

    def begin(number: int) -> Any:
        barrier.wait(20)
        return work(number)

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(begin, range(count)))


def audience(**more: Any) -> dict[str, Any]:
    return {"model_id": "people", "filter_tree": TREE, **more}


def sync(number: int) -> dict[str, Any]:
    return {
        "id": f"s{number:02}",
        "audience_id": "canadians",
        "destination_id": "crm",
        "sync_mode": "mirror",
        "config": {"table": f"t{number}"},
    }


def test_each_kind_is_created_read_replaced_listed_and_deleted(any_shop: Shop) -> None:
    client = any_shop.client()
    for collection, body in objects_of(any_shop):
        made = client.post(f"{V1}/{collection}", json=body)
        assert made.status_code == 201
        assert made.headers["location"] == f"{V1}/{collection}/{body['id']}"
        assert made.headers["etag"] == '"1"'
        read = client.get(made.headers["location"])
        assert (read.json(), read.headers["etag"]) == (made.json(), '"1"')
        assert read.json()["managed_by"] == "api"
        assert client.get(f"{V1}/{collection}").json() == [read.json()]
    for collection, body in reversed(objects_of(any_shop)):
        path = f"{V1}/{collection}/{body['id']}"
        answer = client.delete(path)
        assert (answer.status_code, answer.content) == (204, b"")
        problem(client.get(path), 404)
        problem(client.delete(path), 404)
        problem(client.put(path, json=body), 404)
        problem(client.post(f"{V1}/{collection}", json=body), 409, "ids are not given out again")


def test_what_get_answers_can_be_put_back_and_changes_nothing(any_shop: Shop) -> None:
    client = any_shop.client()
    fill(client, any_shop)
    assert client.post(SYNCS, json=sync(1)).status_code == 201
    before = any_shop.dump()
    paths = [f"{V1}/{collection}/{body['id']}" for collection, body in objects_of(any_shop)]
    for path in [*paths, f"{SYNCS}/s01"]:
        read = client.get(path)
        for body in (read.json(), without(read.json(), *READ_ONLY)):
            put = client.put(path, json=body, headers={"If-Match": read.headers["etag"]})
            assert put.status_code == 200
            assert (put.json(), put.headers["etag"]) == (read.json(), read.headers["etag"])
    assert any_shop.dump() == before, "a sync's settings are shown as they are, and nothing was written"


def test_if_match_lets_only_those_change_who_saw_the_last_change(client: httpx.Client) -> None:
    path = f"{SYNCS}/to_crm"
    body, old = client.get(path).json(), client.get(path).headers["etag"]
    new = client.put(path, json={**body, "schedule": "daily"}, headers={"If-Match": old}).headers["etag"]
    assert new != old
    for tag in (old, '"77"', f"W/{new}", '"x"', ""):
        problem(client.put(path, json={**body, "schedule": "hourly"}, headers={"If-Match": tag}), 412)
        problem(client.delete(path, headers={"If-Match": tag}), 412)
    assert client.get(path).json()["schedule"] == "daily"
    several = client.put(path, json={**body, "schedule": "weekly"}, headers={"If-Match": f"{old}, {new}"})
    assert several.json()["schedule"] == "weekly"
    assert client.put(path, json=body, headers={"If-Match": "*"}).status_code == 200
    assert client.delete(path, headers={"If-Match": client.get(path).headers["etag"]}).status_code == 204


def test_pages_stay_right_under_inserts_and_deletions(client: httpx.Client) -> None:
    for number in range(0, 20, 2):
        assert client.post(SYNCS, json=sync(number)).status_code == 201
    seen, link = [], f"{SYNCS}?limit=3&audience_id=canadians"
    for _ in range(50):
        page = client.get(link)
        seen += [item["id"] for item in page.json()]
        last = int(seen[-1][1:]) if seen[-1].startswith("s") else 99
        if last == 4:
            client.post(SYNCS, json=sync(1))  # behind: not seen
            client.post(SYNCS, json=sync(7))  # ahead: seen
            client.delete(f"{SYNCS}/s04")  # the cursor itself
            client.delete(f"{SYNCS}/s10")  # ahead: not seen
        if "link" not in page.headers:
            break
        link = page.links["next"]["url"]
        assert "audience_id=canadians" in link and "limit=3" in link
    assert seen == ["s00", "s02", "s04", "s06", "s07", "s08", "s12", "s14", "s16", "s18", "to_crm"]


def test_lists_are_filtered(client: httpx.Client, shop: Shop) -> None:
    client.post(f"{V1}/audiences", json=audience(id="others"))
    client.post(SYNCS, json={**sync(1), "audience_id": "others"})
    client.post(SYNCS, json={**sync(2), "status": "paused"})

    def ids(query: str) -> list[str]:
        return [item["id"] for item in client.get(f"{SYNCS}?{query}").json()]

    assert ids("audience_id=others") == ["s01"]
    assert ids("status=paused") == ["s02"]
    assert ids("status=active&destination_id=crm") == ["s01", "to_crm"]
    assert ids("audience_id=nobody") == []


def files_of(shop: Shop, sync_id: str = "from_file") -> Path:
    """Configuration in a file, with a literal secret."""
    crm = {"url": f"sqlite:///{shop.folder}/files.db", "table": "contacts"}
    hook = {"url": "https://example.org/hook", "headers": {"Authorization": "Bearer literal-hunter2"}}
    config = {
        "sources": {"shop": {"url": f"sqlite:///{shop.source}"}},
        "models": {"people": {"source": "shop", "table": "people", "entity_key": "id"}},
        "audiences": {"canadians": {"model": "people", "filter_tree": TREE}},
        "destinations": {"crm": {"type": "sql", "config": crm}, "hook": {"type": "webhook", "config": hook}},
        "syncs": {sync_id: {"audience": "canadians", "destination": "crm", "sync_mode": "mirror"}},
    }
    path = shop.folder / "zsync.yaml"
    path.write_text(yaml.safe_dump(config))
    return path


def test_what_files_manage_is_only_paused_resumed_and_triggered(any_shop: Shop) -> None:
    apply_paths(any_shop.app, [files_of(any_shop)])
    client = any_shop.client()
    path = f"{SYNCS}/from_file"
    body = client.get(path).json()
    assert body["managed_by"] == "files"
    problem(client.put(path, json={**body, "schedule": "daily"}), 409, "managed by files", "only its `status`")
    problem(client.put(path, json={**body, "schedule": "daily", "status": "paused"}), 409)
    problem(client.put(path, json={**body, "status": "off"}), 422)
    problem(client.delete(path), 409, "managed by files")
    for status in ("paused", "paused", "active"):
        assert client.put(path, json={**body, "status": status}).json()["status"] == status
        assert client.get(f"{SYNCS}?status={status}").json()[0]["id"] == "from_file"
    for collection in ("audiences/canadians", "models/people", "sources/shop", "destinations/crm"):
        read = client.get(f"{V1}/{collection}")
        assert client.put(f"{V1}/{collection}", json=read.json()).status_code == 200, "no change is no edit"
        problem(client.put(f"{V1}/{collection}", json={**read.json(), "id": "other"}), 422)
        problem(client.delete(f"{V1}/{collection}"), 409)
    assert client.post(f"{path}/trigger").status_code == 202


def test_no_literal_secret_of_a_file_is_answered(shop: Shop) -> None:
    apply_paths(shop.app, [files_of(shop)])
    client = shop.client()
    paths = [f"{V1}/{collection}" for collection in (*COLLECTIONS, "audit")]
    texts = [client.get(path).text for path in [*paths, f"{V1}/destinations/hook", f"{V1}/destinations/hook/fields"]]
    texts.append(client.put(f"{V1}/destinations/hook", json={"type": "webhook", "config": {}}).text)
    assert all("hunter2" not in text for text in texts)
    assert sum("hook" in text for text in texts) >= 3


def test_an_id_that_the_api_deleted_is_not_given_out_by_apply_either(any_shop: Shop) -> None:
    client = any_shop.client()
    apply_paths(any_shop.app, [files_of(any_shop)])
    assert client.post(SYNCS, json={**sync(1), "id": "gone"}).status_code == 201
    assert client.delete(f"{SYNCS}/gone").status_code == 204
    problem(client.post(SYNCS, json={**sync(1), "id": "gone"}), 409, "was deleted")
    report: Any = None
    with pytest.raises(Exception, match="gone"):
        report = apply_paths(any_shop.app, [files_of(any_shop, "gone")])
    assert report is None
    problem(client.get(f"{SYNCS}/gone"), 404)


def test_of_two_creates_at_once_one_succeeds(any_shop: Shop) -> None:
    client, other = any_shop.client(), any_shop.client()
    fill(client, any_shop)
    clients = [client, other] * 4
    answers = at_once(8, lambda n: clients[n].post(SYNCS, json={**sync(1), "description": str(n)}))
    assert sorted(answer.status_code for answer in answers) == [201, *[409] * 7]
    won = next(answer for answer in answers if answer.status_code == 201)
    assert client.get(f"{SYNCS}/s01").json() == other.get(f"{SYNCS}/s01").json() == won.json()


def test_derived_ids_are_unique(any_shop: Shop) -> None:
    client, other = any_shop.client(), any_shop.client()
    fill(client, any_shop)
    clients = [client, other] * 10
    body = audience(name="Same Name")
    answers = at_once(20, lambda n: clients[n].post(f"{V1}/audiences?offline=true", json=body))
    assert {answer.status_code for answer in answers} == {201}
    ids = {answer.json()["id"] for answer in answers}
    assert len(ids) == 20 and "same_name" in ids
    assert client.delete(f"{V1}/audiences/same_name").status_code == 204
    again = client.post(f"{V1}/audiences", json=body).json()["id"]
    assert again not in ids


def test_of_two_changes_at_once_with_one_etag_one_succeeds(any_shop: Shop) -> None:
    client, other = any_shop.client(), any_shop.client()
    fill(client, any_shop)
    path, clients = f"{SYNCS}/to_crm", [client, other] * 3
    read = client.get(path)
    headers = {"If-Match": read.headers["etag"]}
    answers = at_once(6, lambda n: clients[n].put(path, json={**read.json(), "description": str(n)}, headers=headers))
    assert sorted(answer.status_code for answer in answers) == [200, *[412] * 5]
    assert client.get(path).headers["etag"] == '"2"'


def test_another_process_sees_each_change_at_once(any_shop: Shop) -> None:
    client, other = any_shop.client(), any_shop.client()
    fill(client, any_shop)
    path = f"{SYNCS}/to_crm"
    for number in range(8):
        one, two = (client, other) if number % 2 else (other, client)
        body = {**two.get(path).json(), "description": f"change {number}"}
        written = one.put(path, json=body)
        assert two.get(path).json() == written.json()
        assert two.get(SYNCS).json() == [written.json()]
        assert two.get(path).headers["etag"] == written.headers["etag"] == f'"{number + 2}"'
    run = client.post(f"{path}/trigger").json()
    assert other.get(f"{path}/runs").json() == [run]
    assert other.get(path).json()["last_run_id"] == run["id"]
    assert other.get(f"{path}/runs/{run['id']}").json() == run
    cancelled = other.post(f"{path}/runs/{run['id']}/cancel").json()
    assert client.get(f"{path}/runs/{run['id']}").json() == cancelled
    assert other.delete(path).status_code == 204
    problem(client.get(path), 404)
    assert client.get(f"{path}/runs").json() == [cancelled], "history stays readable"


def test_what_others_use_is_not_deleted(client: httpx.Client) -> None:
    for path, user in (
        ("audiences/canadians", "sync 'to_crm'"),
        ("destinations/crm", "sync 'to_crm'"),
        ("models/people", "audience 'canadians'"),
        ("sources/shop", "model 'people'"),
    ):
        problem(client.delete(f"{V1}/{path}"), 409, user)


def test_a_replacement_that_resumes_a_sync_is_recorded(any_shop: Shop) -> None:
    client = any_shop.client()
    fill(client, any_shop)
    path = f"{SYNCS}/to_crm"
    pause(any_shop.app, "to_crm", Actor("cli", "ann"))
    read = client.get(path)
    assert read.json()["status"] == "paused"
    resumed = client.put(path, json={**read.json(), "status": "active"})
    assert resumed.json()["status"] == "active"
    assert resumed.headers["etag"] != read.headers["etag"]
    newest = client.get(f"{V1}/audit", params={"kind": "syncs", "object_id": "to_crm", "limit": 1}).json()[0]
    assert (newest["action"], newest["before"], newest["after"]) == (
        "resume",
        {"status": "paused"},
        {"status": "active"},
    )
    assert newest["actor"].startswith("api-key:")


def test_a_replacement_that_says_nothing_of_the_status_resumes_nobody(any_shop: Shop) -> None:
    client = any_shop.client()
    fill(client, any_shop)
    path = f"{SYNCS}/to_crm"
    pause(any_shop.app, "to_crm", Actor("cli", "ann"))
    replaced = client.put(path, json=without(client.get(path).json(), "status"))
    assert (replaced.status_code, replaced.json()["status"]) == (200, "paused")
