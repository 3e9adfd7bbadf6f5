"""Triggers, their repetition, cancels, and the history of runs over the API."""

from __future__ import annotations

import httpx

from zsync_pipelines.domain.api_key import Scope
from zsync_pipelines_tests.api.test_objects import at_once
from zsync_pipelines_tests.support.api import TREE, V1, Shop, fill, problem

SYNCS = f"{V1}/audience-syncs"
PATH = f"{SYNCS}/to_crm"


def keyed(key: str) -> dict[str, str]:
    return {"Idempotency-Key": key}


def test_a_trigger_answers_with_a_run_that_is_queued(client: httpx.Client) -> None:
    answer = client.post(f"{PATH}/trigger", json={"allow_removals": 5, "as_of": "2024-01-31"})
    run = answer.json()
    assert (answer.status_code, run["status"], run["trigger"]) == (202, "queued", "api")
    assert (run["sync_id"], run["as_of"]) == ("to_crm", "2024-01-31T00:00:00Z")
    assert answer.headers["location"] == f"{PATH}/runs/{run['id']}"
    assert client.get(answer.headers["location"]).json() == run
    assert client.get(f"{PATH}/runs").json() == [run]
    assert client.get(PATH).json()["last_run_id"] == run["id"]
    found = problem(client.post(f"{PATH}/trigger"), 409, run["id"])
    assert found["run_id"] == run["id"]
    problem(client.get(f"{PATH}/runs/{run['id']}/plan"), 404, "no plan")
    assert client.get(f"{PATH}/runs/{run['id']}/rejections").json() == []
    problem(client.post(f"{SYNCS}/nope/trigger"), 404)


def test_a_paused_sync_can_be_triggered(client: httpx.Client) -> None:
    body = client.get(PATH).json()
    assert client.put(PATH, json={**body, "status": "paused"}).json()["status"] == "paused"
    assert client.post(f"{PATH}/trigger").status_code == 202


def test_of_many_triggers_at_once_one_is_accepted_and_named_by_the_others(any_shop: Shop) -> None:
    client, other = any_shop.client(), any_shop.client()
    fill(client, any_shop)
    clients = [client, other] * 4
    answers = at_once(8, lambda n: clients[n].post(f"{PATH}/trigger"))
    won = [answer.json() for answer in answers if answer.status_code == 202]
    assert len(won) == 1
    for answer in answers:
        if answer.status_code != 202:
            assert problem(answer, 409)["run_id"] == won[0]["id"]
    assert other.get(f"{PATH}/runs").json() == won


def test_a_sync_is_not_deleted_while_a_run_is_queued_and_can_be_changed(client: httpx.Client) -> None:
    run = client.post(f"{PATH}/trigger").json()
    assert problem(client.delete(PATH), 409, run["id"])["run_id"] == run["id"]
    assert problem(client.delete(f"{PATH}?cleanup=remove_members"), 409)["run_id"] == run["id"]
    body = client.get(PATH).json()
    assert client.put(PATH, json={**body, "schedule": "hourly"}).status_code == 200
    assert client.get(f"{PATH}/runs/{run['id']}").json() == run
    cancelled = client.post(f"{PATH}/runs/{run['id']}/cancel")
    assert (cancelled.status_code, cancelled.json()["status"]) == (202, "cancelled")
    problem(client.post(f"{PATH}/runs/{run['id']}/cancel"), 409, "nothing to cancel")
    assert client.delete(PATH).status_code == 204
    assert client.get(f"{PATH}/runs").json() == [cancelled.json()]
    assert client.get(f"{PATH}/runs/{run['id']}").json() == cancelled.json()
    problem(client.post(f"{PATH}/trigger"), 404)


def test_a_deletion_with_cleanup_queues_a_run_that_takes_members_out(client: httpx.Client) -> None:
    answer = client.delete(f"{PATH}?cleanup=remove_members")
    assert (answer.status_code, answer.json()["status"]) == (202, "queued")
    assert client.get(answer.headers["location"]).json() == answer.json()
    assert client.get(PATH).status_code == 200, "it goes when that succeeded"


def test_history_is_paged_newest_first_and_stays_right_while_runs_are_added(client: httpx.Client, shop: Shop) -> None:
    def run() -> str:
        shop.later(seconds=1)
        made: str = client.post(f"{PATH}/trigger").json()["id"]
        assert client.post(f"{PATH}/runs/{made}/cancel").status_code == 202
        return made

    runs = [run() for _ in range(7)][::-1]
    seen, link = [], f"{PATH}/runs?limit=3"
    for _ in range(9):
        page = client.get(link)
        seen += [item["id"] for item in page.json()]
        run()
        if "link" not in page.headers:
            break
        link = page.links["next"]["url"]
    assert seen == runs
    problem(client.get(f"{PATH}/runs?cursor=e30"), 422)


def test_a_repeated_request_is_done_once_and_answered_alike_for_a_day(any_shop: Shop) -> None:
    client, other = any_shop.client(), any_shop.client()
    fill(client, any_shop)
    first = client.post(f"{PATH}/trigger", headers=keyed("k1"))
    for again in (client, other, other):
        answer = again.post(f"{PATH}/trigger", headers=keyed("k1"))
        assert (answer.status_code, answer.content) == (202, first.content)
        assert answer.headers["location"] == first.headers["location"]
        assert answer.headers["idempotency-replayed"] == "true"
    assert "idempotency-replayed" not in first.headers
    body = {"name": "Once", "model_id": "people", "filter_tree": TREE}
    made = [c.post(f"{V1}/audiences", json=body, headers=keyed("k2")) for c in (client, other)]
    assert [answer.status_code for answer in made] == [201, 201]
    assert made[0].json() == made[1].json() and made[0].headers["etag"] == made[1].headers["etag"]
    refused = [c.post(f"{V1}/audiences", json={**body, "id": "A"}, headers=keyed("k3")) for c in (client, other)]
    assert [problem(answer, 422) for answer in refused] == [refused[0].json()] * 2
    any_shop.later(hours=23, minutes=59)
    assert client.post(f"{PATH}/trigger", headers=keyed("k1")).content == first.content
    any_shop.later(minutes=2)
    afresh = client.post(f"{PATH}/trigger", headers=keyed("k1"))
    assert (afresh.status_code, afresh.json()["id"] == first.json()["id"]) == (202, False)


def test_a_name_that_came_with_another_request_is_refused(client: httpx.Client, shop: Shop) -> None:
    assert client.post(f"{PATH}/trigger", headers=keyed("k")).status_code == 202
    for path, body in ((f"{PATH}/trigger", {"full_resync": True}), (f"{V1}/audiences/canadians/evaluate", {})):
        problem(client.post(path, json=body, headers=keyed("k")), 422, "Idempotency-Key")
    problem(client.post(f"{PATH}/trigger?x=1", headers=keyed("k")), 422)
    other = {"Authorization": f"Bearer {shop.token(Scope.TRIGGER)}", **keyed("k")}
    problem(client.post(f"{PATH}/trigger", headers=other), 409, "under way")


def test_a_repetition_while_the_first_is_being_answered_is_409(client: httpx.Client, shop: Shop) -> None:
    assert client.post(f"{PATH}/trigger", headers=keyed("first")).status_code == 202
    with shop.app.database.begin() as connection:
        connection.exec_driver_sql("UPDATE kept_answers SET status = NULL, headers = NULL, body = NULL")
    problem(client.post(f"{PATH}/trigger", headers=keyed("first")), 409, "still being answered")


def test_repetitions_at_once_do_it_once(any_shop: Shop) -> None:
    client, other = any_shop.client(), any_shop.client()
    fill(client, any_shop)
    clients = [client, other] * 4
    body = {"name": "Once", "model_id": "people", "filter_tree": TREE}
    answers = at_once(8, lambda n: clients[n].post(f"{V1}/audiences", json=body, headers=keyed("k")))
    done = [answer for answer in answers if answer.status_code == 201]
    assert done and len({answer.content for answer in done}) == 1
    for answer in answers:
        if answer.status_code != 201:
            problem(answer, 409)
    assert [item["id"] for item in client.get(f"{V1}/audiences").json()] == ["canadians", "once"]
