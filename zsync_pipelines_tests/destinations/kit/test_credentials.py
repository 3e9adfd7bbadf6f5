"""OAuth: tokens are fetched when needed, renewed in time or when refused, and shared by threads."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from pydantic import SecretStr

from zsync_pipelines.destinations.kit import credentials
from zsync_pipelines.destinations.kit.calls import Api
from zsync_pipelines.destinations.kit.credentials import OAuth, bearer, client_credentials, jwt_bearer, refresh_token
from zsync_pipelines.errors import CredentialsError, TryAgainError


def token(text, **more):
    return 200, {"access_token": text, "token_type": "Bearer", "expires_in": 3600, **more}


def oauth_of(vendor, client):
    grant, keep = refresh_token("app", SecretStr("cl13nt-s3cret"), SecretStr("r3fresh"))
    return OAuth(client, f"{vendor.url}/token", grant, "Acme", "authorise zsync again", keep)


@pytest.fixture
def oauth(vendor, client):
    return oauth_of(vendor, client)


def api_with(oauth, vendor, client):
    return Api(client, vendor.url, oauth, "Acme", "authorise zsync again", lambda _: None)


def test_one_token_for_many_requests(vendor, client, oauth):
    vendor.tokens = [token("a"), token("b")]
    api = api_with(oauth, vendor, client)
    for _ in range(3):
        api.call("GET", "/things")
    assert vendor.authorizations == ["Bearer a"] * 3
    assert vendor.forms == [
        {
            "grant_type": "refresh_token",
            "client_id": "app",
            "client_secret": "cl13nt-s3cret",
            "refresh_token": "r3fresh",
        }
    ]


def test_a_refused_token_is_renewed_once(vendor, client, oauth):
    vendor.tokens = [token("old"), token("new")]
    vendor.answers = [(401, {}), (200, {"fine": True})]
    assert api_with(oauth, vendor, client).call("GET", "/things").ok
    assert vendor.authorizations == ["Bearer old", "Bearer new"]


def test_credentials_that_are_refused_after_renewal_stop_the_run(vendor, client, oauth):
    vendor.tokens = [token("a"), token("b"), token("c")]
    vendor.answers = [(401, {})]
    with pytest.raises(CredentialsError, match="authorise zsync again"):
        api_with(oauth, vendor, client).call("GET", "/things")
    assert len(vendor.authorizations) == 2


def test_a_token_is_renewed_before_it_ends(vendor, client, oauth, monkeypatch):
    now = [1000.0]
    monkeypatch.setattr(credentials.time, "monotonic", lambda: now[0])
    vendor.tokens = [token("a"), token("b")]
    assert oauth.headers() == {"authorization": "Bearer a"}
    now[0] += 3600 - 61
    assert oauth.headers() == {"authorization": "Bearer a"}
    now[0] += 2
    assert oauth.headers() == {"authorization": "Bearer b"}


def test_a_new_refresh_token_is_used_from_then_on(vendor, oauth):
    vendor.tokens = [token("a", refresh_token="second"), token("b")]
    oauth.headers()
    oauth.renew({"authorization": "Bearer a"})
    oauth.headers()
    assert [form["refresh_token"] for form in vendor.forms] == ["r3fresh", "second"]


def test_threads_share_one_renewal(vendor, client):
    vendor.tokens = [token("old"), token("new"), token("never")]
    oauth = oauth_of(vendor, client)
    old = oauth.headers()
    together = threading.Barrier(8)

    def renew(_):
        together.wait()
        oauth.renew(old)
        return oauth.headers()["authorization"]

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(renew, range(8))) == {"Bearer new"}
    assert len(vendor.forms) == 2


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("invalid_grant", "expired or revoked"),
        ("invalid_client", "client id or secret is wrong"),
        ("unauthorized_client", "may not ask"),
        ("invalid_scope", "scope"),
        ("something_else", "no access token"),
    ],
)
@pytest.mark.parametrize("status", [400, 401, 403])
def test_a_refused_grant_says_which_and_what_to_do(vendor, oauth, code, words, status):
    vendor.tokens = [(status, {"error": code, "error_description": "token r3fresh of cl13nt-s3cret"})]
    with pytest.raises(CredentialsError, match=words) as failure:
        oauth.headers()
    text = str(failure.value)
    assert "authorise zsync again" in text
    assert "r3fresh" not in text
    assert "cl13nt" not in text


@pytest.mark.parametrize("answer", [(500, {}), (503, {}), None, (200, b"<html>"), (200, b"[]"), (429, {})])
def test_a_token_server_that_does_not_answer_has_applied_nothing(vendor, oauth, answer):
    vendor.tokens = [answer]
    with pytest.raises(TryAgainError):
        oauth.headers()
    vendor.tokens = [token("a")]
    assert oauth.headers() == {"authorization": "Bearer a"}


def test_an_answer_without_a_token_is_a_refusal(vendor, oauth):
    vendor.tokens = [(200, {"error": "invalid_grant"})]
    with pytest.raises(CredentialsError):
        oauth.headers()


def test_no_lifetime_counts_as_an_hour(vendor, oauth, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(credentials.time, "monotonic", lambda: now[0])
    vendor.tokens = [(200, {"access_token": "a", "expires_in": "soon"}), token("b")]
    oauth.headers()
    now[0] = 3500.0
    assert oauth.headers() == {"authorization": "Bearer a"}


def test_client_credentials(vendor, client):
    vendor.tokens = [token("a")]
    OAuth(client, f"{vendor.url}/token", client_credentials("app", SecretStr("s"), scope="x"), "Acme", "").headers()
    assert vendor.forms == [
        {"grant_type": "client_credentials", "client_id": "app", "client_secret": "s", "scope": "x"}
    ]


def test_a_signed_assertion(vendor, client):
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
    vendor.tokens = [token("a")]
    grant = jwt_bearer(SecretStr(pem), "me@example.org", "https://login.example.org", scope="all")
    OAuth(client, f"{vendor.url}/token", grant, "Acme", "").headers()
    (form,) = vendor.forms
    assert form["grant_type"] == "urn:ietf:params:oauth:grant-type:jwt-bearer"
    claims = jwt.decode(form["assertion"], key.public_key(), algorithms=["RS256"], audience="https://login.example.org")
    assert (claims["iss"], claims["scope"]) == ("me@example.org", "all")
    assert 0 < claims["exp"] - claims["iat"] <= 180


@pytest.mark.parametrize("pem", ["nonsense", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----"])
def test_a_key_that_cannot_be_read_is_not_shown(vendor, client, pem):
    oauth = OAuth(client, f"{vendor.url}/token", jwt_bearer(SecretStr(pem), "i", "a"), "Acme", "")
    with pytest.raises(CredentialsError, match="PEM") as failure:
        oauth.headers()
    assert "AAAA" not in str(failure.value)
    assert failure.value.__cause__ is None


def test_nothing_secret_in_reprs(vendor, client, oauth):
    vendor.tokens = [token("t0ken")]
    oauth.headers()
    text = repr(oauth) + repr(bearer(SecretStr("fixed-t0ken")))
    assert not [secret for secret in ("t0ken", "r3fresh", "cl13nt") if secret in text]
