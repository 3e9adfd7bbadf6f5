"""Keys of the REST API."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa

from zsync_pipelines.domain.actor import Actor
from zsync_pipelines.domain.api_key import Scope
from zsync_pipelines.errors import BusyError, ConfigError, NotFoundError, StorageError, UnauthorizedError
from zsync_pipelines.service import api_keys
from zsync_pipelines.service.api_keys import (
    Authenticator,
    any_usable,
    create_key,
    hash_secret,
    list_keys,
    revoke_key,
    verify_secret,
)
from zsync_pipelines.service.audit import read_audit
from zsync_pipelines.service.bootstrap import Zsync, open_zsync
from zsync_pipelines.store.api_keys import ApiKeyStore

ANN = Actor("cli", "ann")


@dataclass
class Time:
    now: datetime = datetime(2024, 5, 1, 12, tzinfo=UTC)
    seconds: float = field(default=0)

    def goes_on(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)
        self.seconds += seconds


@pytest.fixture
def time() -> Time:
    return Time()


ON_BOTH = pytest.mark.parametrize(
    "app", ["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)], indirect=True
)


@pytest.fixture
def app(request: pytest.FixtureRequest, time: Time) -> Iterator[Zsync]:
    env = {"ZSYNC_HOME": str(request.getfixturevalue("tmp_path"))}
    if getattr(request, "param", "sqlite") == "postgresql":
        env["ZSYNC_DATABASE_URL"] = request.getfixturevalue("postgres_url")
    app = replace(open_zsync(env), clock=lambda: time.now, monotonic=lambda: time.seconds)
    yield app
    app.database.dispose()


@pytest.fixture
def hashes(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The secrets whose hashes were computed to verify them."""
    seen: list[str] = []

    def counted(secret: str, stored: str) -> bool:
        seen.append(secret)
        return verify_secret(secret, stored)

    monkeypatch.setattr(api_keys, "verify_secret", counted)
    return seen


def token_of(app: Zsync, name: str = "ci", days: int | None = None) -> str:
    expires = None if days is None else app.clock() + timedelta(days=days)
    return create_key(app, name, [Scope.READ], expires, ANN)[1]


@ON_BOTH
def test_a_key_is_known_by_its_token(app: Zsync) -> None:
    key, token = create_key(app, "ci", [Scope.TRIGGER, Scope.READ], None, ANN)
    assert token.startswith(f"zsk_{key.id}_")
    assert len(token.rpartition(key.id)[2]) == 44, "256 bits in base64"
    found = Authenticator(app).authenticate(token)
    assert (found.id, found.name, found.scopes) == (key.id, "ci", (Scope.READ, Scope.TRIGGER))


def test_the_secret_is_stored_nowhere(app: Zsync) -> None:
    token = token_of(app)
    secret = token[len("zsk_") + 17 :]
    Authenticator(app).authenticate(token)
    with app.database.connect() as connection:
        names = sa.inspect(connection).get_table_names()
        kept = "".join(str(list(connection.execute(sa.text(f"SELECT * FROM {name}")))) for name in names)
    assert secret not in kept
    assert "scrypt$16384$8$1$" in kept


def test_what_a_hash_says(app: Zsync) -> None:
    first, second = hash_secret("a"), hash_secret("a")
    assert first != second, "each has a salt of its own"
    assert verify_secret("a", first)
    assert not verify_secret("b", first)


def test_wrong_tokens_are_all_refused_alike(app: Zsync, hashes: list[str]) -> None:
    token = token_of(app)
    wrong = [
        "", "x", "zsk_", token[:-1], token + "x", token.upper(), token.replace("zsk", "abc"), f" {token}", f"{token}\n",
        token[:-3] + ("abc" if token[-3:] != "abc" else "abd"), f"zsk_{'0' * 16}_{'a' * 43}", "é" * 64,
    ]  # fmt: skip
    authenticator = Authenticator(app)
    texts = set()
    for given in wrong:
        with pytest.raises(UnauthorizedError) as caught:
            authenticator.authenticate(given)
        texts.add(str(caught.value))
        assert not given or len(given) < 5 or given not in str(caught.value)
    assert len(texts) == 1
    assert len(hashes) == 1, "only a token that could be right is hashed"


def test_a_token_is_hashed_once(app: Zsync, hashes: list[str]) -> None:
    token, authenticator = token_of(app), Authenticator(app)
    wrong = token[:-3] + ("abc" if token[-3:] != "abc" else "abd")
    for _ in range(5):
        authenticator.authenticate(token)
        with pytest.raises(UnauthorizedError):
            authenticator.authenticate(wrong)
    assert len(hashes) == 2


def test_revocation_acts_within_a_second_in_every_process(app: Zsync, time: Time) -> None:
    token, processes = token_of(app), [Authenticator(app), Authenticator(app)]
    for authenticator in processes:
        authenticator.authenticate(token)
    revoke_key(app, "ci", ANN)
    time.goes_on(1)
    for authenticator in processes:
        with pytest.raises(UnauthorizedError):
            authenticator.authenticate(token)


def test_a_known_key_needs_no_database_within_a_second(app: Zsync, time: Time) -> None:
    token, authenticator = token_of(app), Authenticator(app)
    authenticator.authenticate(token)
    statements: list[str] = []
    sa.event.listen(app.database, "before_cursor_execute", lambda _c, _x, text, *_: statements.append(text))
    time.goes_on(0.9)
    authenticator.authenticate(token)
    found = authenticator.remembered(token)
    assert found is not None
    assert found.name == "ci"
    assert [authenticator.remembered(other) for other in ("", token[:-1], token[:-6] + "abcdef")] == [None] * 3
    time.goes_on(0.1)
    assert authenticator.remembered(token) is None, "its key may be revoked by now"
    assert statements == []


def test_a_key_expires_at_its_moment(app: Zsync, time: Time) -> None:
    token, authenticator = token_of(app, days=1), Authenticator(app)
    assert any_usable(app)
    authenticator.authenticate(token)
    time.now += timedelta(days=1)
    assert authenticator.remembered(token) is None
    with pytest.raises(UnauthorizedError):
        authenticator.authenticate(token)
    assert not any_usable(app)
    assert [key.status(app.clock()) for key in list_keys(app)] == ["expired"]


@ON_BOTH
def test_the_last_use_is_noted_once_a_minute(app: Zsync, time: Time) -> None:
    token, processes = token_of(app), [Authenticator(app), Authenticator(app)]
    noted = []
    for _ in range(5):
        for authenticator in processes:
            authenticator.authenticate(token)
        noted.append(list_keys(app)[0].last_used_at)
        time.goes_on(30)
    start = noted[0]
    assert start is not None
    assert noted == [start + timedelta(seconds=s) for s in (0, 0, 60, 60, 120)]


def test_a_use_that_cannot_be_noted_fails_no_request(app: Zsync, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> None:
        raise StorageError("locked")

    token = token_of(app)
    monkeypatch.setattr(ApiKeyStore, "used", fails)
    assert Authenticator(app).authenticate(token).name == "ci"


def test_a_flood_of_wrong_secrets_hashes_two_at_a_time(app: Zsync, monkeypatch: pytest.MonkeyPatch) -> None:
    token, authenticator = token_of(app), Authenticator(app)
    authenticator.authenticate(token)
    at_once, most, gate, lock = 0, 0, threading.Event(), threading.Lock()

    def slow(secret: str, stored: str) -> bool:
        nonlocal at_once, most
        with lock:
            at_once += 1
            most = max(most, at_once)
        gate.wait(5)
        with lock:
            at_once -= 1
        return False

    monkeypatch.setattr(api_keys, "verify_secret", slow)
    monkeypatch.setattr(api_keys, "_PATIENCE_SECONDS", 0.05)

    def attempt(number: int) -> type[Exception] | None:
        try:
            authenticator.authenticate(f"{token[:-6]}{number:06d}")
        except (UnauthorizedError, BusyError) as error:
            return type(error)
        return None

    with ThreadPoolExecutor(8) as pool:
        attempts = [pool.submit(attempt, number) for number in range(8)]
        done = [future for future in attempts[2:] if future.result(5) is BusyError]
        assert authenticator.authenticate(token).name == "ci", "a token that is known does not wait"
        gate.set()
    assert len(done) >= 5
    assert most <= 2
    assert {future.result() for future in attempts} == {BusyError, UnauthorizedError}


def test_refused_tokens_do_not_push_out_those_in_use(
    app: Zsync, hashes: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api_keys, "_REMEMBERED", 2)
    token, authenticator = token_of(app), Authenticator(app)
    authenticator.authenticate(token)
    for number in range(4):
        with pytest.raises(UnauthorizedError):
            authenticator.authenticate(f"{token[:-6]}{number:06d}")
    before = len(hashes)
    authenticator.authenticate(token)
    assert len(hashes) == before


@ON_BOTH
def test_a_name_is_given_once(app: Zsync) -> None:
    token_of(app)
    revoke_key(app, "ci", ANN)
    with pytest.raises(ConfigError, match="there is or was a key named 'ci'; choose another name"):
        token_of(app)
    with ThreadPoolExecutor(4) as pool:
        made = [pool.submit(token_of, app, "twin") for _ in range(4)]
    assert sum(future.exception() is None for future in made) == 1
    assert [key.name for key in list_keys(app)] == ["ci", "twin"]


def test_a_key_that_makes_no_sense_is_refused(app: Zsync) -> None:
    for name, scopes, expires, text in (
        ("a b", [Scope.READ], None, "is no name of a key"),
        ("", [Scope.READ], None, "is no name of a key"),
        ("a" * 101, [Scope.READ], None, "is no name of a key"),
        ("a", [], None, "a key needs a scope; give one or more of read, write, trigger"),
        ("a", [Scope.READ], app.clock(), "would expire at once"),
    ):
        with pytest.raises(ConfigError, match=text):
            create_key(app, name, scopes, expires, ANN)
    assert list_keys(app) == []


def test_keys_are_audited(app: Zsync) -> None:
    key, token = create_key(app, "ci", [Scope.READ], None, ANN)
    revoke_key(app, "ci", ANN)
    revoke_key(app, "ci", ANN)
    with pytest.raises(NotFoundError, match="no API key 'cj'; known: ci"):
        revoke_key(app, "cj", ANN)
    entries = read_audit(app, kind="api_keys", object_id="ci")
    assert [(e.actor, e.action, e.after) for e in entries] == [
        ("cli:ann", "revoke", None),
        ("cli:ann", "create", {"id": key.id, "scopes": ["read"], "expires_at": None}),
    ]
    assert token[-10:] not in str(entries)
