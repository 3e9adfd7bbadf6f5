"""Keys of the REST API: create, list, revoke, and tell whose key a request brings.

A key is `zsk_<id>_<secret>`, the secret 256 random bits. Kept of it is a scrypt hash; how it was made stands in the
stored text, so that a later version can make stronger ones beside it.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import logging
import re
import secrets
import threading
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from zsync_pipelines.domain.actor import Actor
from zsync_pipelines.domain.api_key import NAME_PATTERN, ApiKey, Scope
from zsync_pipelines.domain.wording import unknown
from zsync_pipelines.errors import BusyError, ConfigError, NotFoundError, UnauthorizedError, ZsyncError
from zsync_pipelines.service.bootstrap import Zsync
from zsync_pipelines.store.api_keys import ApiKeyStore

_log = logging.getLogger("zsync")
_COST, _BLOCK, _LANES = 1 << 14, 8, 1
"""scrypt's parameters: 16 MiB and some 50 ms."""
_TOKEN = re.compile(r"zsk_([0-9a-f]{16})_([A-Za-z0-9_-]{43})")
_FRESH_SECONDS = 1.0
"""How long what is known of a key is believed: a revocation acts within it in every process."""
_USED_EVERY = timedelta(minutes=1)
_AT_ONCE = 2
_PATIENCE_SECONDS = 1.0
_REMEMBERED = 10_000


def create_key(
    app: Zsync, name: str, scopes: Iterable[Scope], expires_at: datetime | None, actor: Actor
) -> tuple[ApiKey, str]:
    """A new key, and the token that is to be shown once. ConfigError for a name that was given before, also to a key
    that is revoked by now: in the audit log a name is one key."""
    now = app.clock()
    if not re.fullmatch(NAME_PATTERN, name):
        raise ConfigError(f"'{name}' is no name of a key: write letters, digits and . _ -, at most 100")
    if expires_at is not None and expires_at <= now:
        raise ConfigError("the key would expire at once; give a later time")
    wanted = tuple(scope for scope in Scope if scope in set(scopes))
    if not wanted:
        raise ConfigError(f"a key needs a scope; give one or more of {', '.join(Scope)}")
    key = ApiKey(secrets.token_hex(8), name, wanted, now, expires_at)
    secret = secrets.token_urlsafe(32)
    if not ApiKeyStore(app.database).add(key, hash_secret(secret), actor):
        raise ConfigError(f"there is or was a key named '{name}'; choose another name, such as '{name}-2'")
    return key, f"zsk_{key.id}_{secret}"


def list_keys(app: Zsync) -> list[ApiKey]:
    """Every key by name, those that are over included."""
    return ApiKeyStore(app.database).all()


def revoke_key(app: Zsync, name: str, actor: Actor) -> None:
    """End a key for good, within a second everywhere. One that is revoked already stays so."""
    names = [key.name for key in list_keys(app)]
    if name not in names:
        raise NotFoundError(unknown("API key", name, names) + ".")
    ApiKeyStore(app.database).revoke(name, app.clock(), actor)


def any_usable(app: Zsync) -> bool:
    """Whether there is a key that a request could bring."""
    now = app.clock()
    return any(key.status(now) == "active" for key in list_keys(app))


def hash_secret(secret: str) -> str:
    """What is stored of a secret."""
    salt = secrets.token_bytes(16)
    made = _scrypt(secret, salt, _COST, _BLOCK, _LANES)
    parts = (base64.b64encode(part).decode() for part in (salt, made))
    return "$".join(("scrypt", str(_COST), str(_BLOCK), str(_LANES), *parts))


def verify_secret(secret: str, stored: str) -> bool:
    """Whether a secret is the one that `stored` was made of."""
    _, cost, block, lanes, salt, made = stored.split("$")
    found = _scrypt(secret, base64.b64decode(salt), int(cost), int(block), int(lanes))
    return hmac.compare_digest(found, base64.b64decode(made))


def _scrypt(secret: str, salt: bytes, cost: int, block: int, lanes: int) -> bytes:
    return hashlib.scrypt(secret.encode(), salt=salt, n=cost, r=block, p=lanes, maxmem=256 * cost * block, dklen=32)


@dataclass(frozen=True, slots=True)
class _Known:
    """What the database said of a key, and when."""

    key: ApiKey
    hashed: str
    read_at: float


class Authenticator:
    """Tells whose key a token is, for one process; its threads share it.

    A token that was verified once is known by a digest, so that a request costs microseconds; so is one that was
    refused. At most two hashes are computed at once, and whoever would wait for long is told to come back.
    """

    def __init__(self, app: Zsync) -> None:
        self._app, self._store = app, ApiKeyStore(app.database)
        self._pepper = secrets.token_bytes(32)
        self._lock, self._hashing = threading.Lock(), threading.BoundedSemaphore(_AT_ONCE)
        self._judged: OrderedDict[bytes, bool] = OrderedDict()
        self._known: OrderedDict[str, _Known] = OrderedDict()
        self._noted: dict[str, datetime] = {}

    def authenticate(self, token: str) -> ApiKey:
        """The key of a token. UnauthorizedError, which does not say why, if it is none that counts; BusyError if too
        many unknown tokens arrive at once."""
        parts = _TOKEN.fullmatch(token)
        if parts is None:
            raise UnauthorizedError
        digest = self._digest(token)
        judged = self._judgement(digest)
        if judged is False:
            raise UnauthorizedError
        known = self._fresh(parts[1]) or self._read(parts[1])
        now = self._app.clock()
        if known is None or known.key.status(now) != "active":
            raise UnauthorizedError
        if judged is None and not self._verified(digest, parts[2], known.hashed):
            raise UnauthorizedError
        self._note_use(known.key, now)
        return known.key

    def remembered(self, token: str) -> ApiKey | None:
        """The key of a token that `authenticate` took within the last second, at once; None: ask `authenticate`."""
        parts = _TOKEN.fullmatch(token)
        if parts is None or not self._judgement(self._digest(token)):
            return None
        known = self._fresh(parts[1])
        return known.key if known is not None and known.key.status(self._app.clock()) == "active" else None

    def _digest(self, token: str) -> bytes:
        return hashlib.blake2b(token.encode(), key=self._pepper, digest_size=32).digest()

    def _judgement(self, digest: bytes) -> bool | None:
        with self._lock:
            judged = self._judged.get(digest)
            if judged is not None:
                self._judged.move_to_end(digest)
            return judged

    def _verified(self, digest: bytes, secret: str, hashed: str) -> bool:
        if not self._hashing.acquire(timeout=_PATIENCE_SECONDS):
            raise BusyError(_PATIENCE_SECONDS)
        try:
            judged = self._judgement(digest)  # another thread may have been faster
            right = verify_secret(secret, hashed) if judged is None else judged
        finally:
            self._hashing.release()
        with self._lock:
            self._judged[digest] = right
            while len(self._judged) > _REMEMBERED:
                # Refused tokens go first: a flood of them must not push out those that are in use.
                self._judged.pop(next((d for d, good in self._judged.items() if not good), next(iter(self._judged))))
        return right

    def _fresh(self, key_id: str) -> _Known | None:
        with self._lock:
            known = self._known.get(key_id)
        fresh = known is not None and self._app.monotonic() - known.read_at < _FRESH_SECONDS
        return known if fresh else None

    def _read(self, key_id: str) -> _Known | None:
        now = self._app.monotonic()
        found = self._store.find(key_id)
        if found is None:
            return None
        known = _Known(*found, now)
        with self._lock:
            self._known[key_id] = known
            if len(self._known) > _REMEMBERED:
                self._known.popitem(last=False)
        return known

    def _note_use(self, key: ApiKey, now: datetime) -> None:
        with self._lock:
            noted = (self._noted.get(key.id), key.last_used_at)
            if any(last is not None and now - last < _USED_EVERY for last in noted):
                return
            self._noted[key.id] = now
        try:
            self._store.used(key.id, now)
        except ZsyncError as error:
            _log.warning("the last use of API key '%s' was not noted: %s", key.name, error)
