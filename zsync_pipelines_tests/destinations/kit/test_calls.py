"""One call: what is sent, what answers mean, and where requests may go."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal

import pytest

from zsync_pipelines.destinations.kit.calls import Api, json_bytes
from zsync_pipelines.destinations.kit.credentials import FixedHeader
from zsync_pipelines.errors import CredentialsError, OutcomeUnknownError, TryAgainError


@pytest.fixture
def api(vendor, client):
    heard = []
    made = Api(
        client, f"{vendor.url}/v1/", FixedHeader("x-key", "s3cret"), "Acme", "make a key", heard.append, {"x-v": "7"}
    )
    made.client.headers["user-agent"] = "zsync"
    return made


def test_json_with_credentials_and_the_headers_of_each_request(api, vendor):
    reply = api.call("POST", "/things", {"name": "Zoë"}, params={"page": 2, "q": "a b&c"}, headers={"x-more": "1"})
    assert (reply.status, reply.body, reply.ok) == (200, {"fine": True}, True)
    (request,) = vendor.asked
    assert (request.method, request.path) == ("POST", "/v1/things?page=2&q=a+b%26c")
    assert json.loads(request.body) == {"name": "Zoë"}
    headers = {name: request.headers[name] for name in ("x-key", "x-v", "x-more", "content-type")}
    assert headers == {"x-key": "s3cret", "x-v": "7", "x-more": "1", "content-type": "application/json"}


def test_a_form_and_bytes(api, vendor):
    api.call("POST", "a", form={"x": "1 2"})
    api.call("PUT", "b", content=b"1,2\n", headers={"content-type": "text/csv"})
    form, csv = vendor.asked
    assert (form.body, form.headers["content-type"]) == (b"x=1+2", "application/x-www-form-urlencoded")
    assert (csv.body, csv.headers["content-type"]) == (b"1,2\n", "text/csv")


@pytest.mark.parametrize("status", [400, 404, 409, 413, 422])
def test_a_refusal_is_for_the_connector_to_judge(api, vendor, status):
    vendor.answers = [(status, {"why": "so"})]
    reply = api.call("GET", "a")
    assert (reply.status, reply.body, reply.ok) == (status, {"why": "so"}, False)
    with pytest.raises(OutcomeUnknownError, match=str(status)):
        reply.expect("Acme")


@pytest.mark.parametrize(("status", "words"), [(401, "refused the credentials"), (403, "lack a permission")])
def test_refused_credentials_say_what_to_do(api, vendor, status, words):
    vendor.answers = [(status, {})]
    with pytest.raises(CredentialsError, match=words) as failure:
        api.call("GET", "a")
    assert "Acme" in str(failure.value)
    assert "make a key" in str(failure.value)
    assert api.call("GET", "a", judged={status}).status == status


@pytest.mark.parametrize(
    ("answer", "error"), [((500, {}), OutcomeUnknownError), ((429, {}), TryAgainError), (None, OutcomeUnknownError)]
)
def test_no_answer(api, vendor, answer, error):
    vendor.answers = [answer]
    with pytest.raises(error):
        api.call("POST", "a", {})


def test_json_that_breaks_off_is_no_answer(api, vendor):
    vendor.answers = [(200, b'{"a": ')]
    with pytest.raises(OutcomeUnknownError):
        api.call("GET", "a")
    vendor.answers = [(400, b'{"a": ')]
    assert api.call("GET", "a").body is None


def test_an_empty_answer_has_no_body(api, vendor):
    vendor.answers = [(200, b"")]
    assert api.call("GET", "a").body is None


def test_a_next_page_at_the_apis_own_address_and_nowhere_else(api, vendor):
    api.call("GET", f"{vendor.url}/v1/things?page=2")
    assert vendor.asked[0].path == "/v1/things?page=2"
    for elsewhere in ("http://127.0.0.2:1/v1/things", vendor.url.replace("http", "https"), "https://evil.example.org/"):
        with pytest.raises(OutcomeUnknownError, match="another address"):
            api.call("GET", elsewhere)
    assert len(vendor.asked) == 1


def test_nothing_secret_in_errors_and_reprs(api, vendor):
    vendor.answers = [(500, {})]
    with pytest.raises(OutcomeUnknownError) as failure:
        api.call("POST", "/people/ann@example.org", {"email": "ann@example.org"}, params={"token": "s3cret"})
    texts = [str(failure.value), repr(api), repr(api.credentials)]
    assert not [text for text in texts if "s3cret" in text or "ann@" in text]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Decimal("1.50"), "1.5"),
        (Decimal(7), "7"),
        (date(2024, 2, 29), '"2024-02-29"'),
        (datetime(2024, 1, 2, 3, 4, 5, 6), '"2024-01-02T03:04:05.000006"'),
        (datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC), '"2024-01-02T03:04:05Z"'),
        (datetime(2024, 1, 2, 3, tzinfo=timezone(timedelta(hours=2))), '"2024-01-02T01:00:00Z"'),
        ("é", '"é"'),
        (None, "null"),
    ],
)
def test_values_as_json(value, text):
    assert json_bytes(value).decode() == text


def test_what_json_does_not_have_is_refused():
    with pytest.raises(ValueError, match="JSON"):
        json_bytes(float("nan"))
    with pytest.raises(TypeError):
        json_bytes(object())
