"""Requests that are repeated with the same `Idempotency-Key`: done once, answered alike for 24 hours."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

from zsync_pipelines.errors import ConfigError, IdempotencyConflictError, IdempotencyMismatchError, Problem
from zsync_pipelines.service.bootstrap import Zsync
from zsync_pipelines.store.kept_answers import KeptAnswer, KeptAnswerStore

_KEPT = timedelta(hours=24)
_HELD = timedelta(minutes=1)
"""Longer than a request may take: one that has no answer by then died with its process."""
_LONGEST = 255


class Replays:
    """Every `begin` that returned None is followed by one `finish`, or by `abandon` where the request may be tried
    again, such as after a failure of the server. Processes on one database act as one."""

    def __init__(self, app: Zsync) -> None:
        self._app, self._store = app, KeptAnswerStore(app.database)

    def begin(self, key_id: str, idempotency_key: str, request: str) -> KeptAnswer | None:
        """None: do it, nobody else does. Otherwise the answer that was given before.

        `key_id`: of the API key, since each has names of its own. `request`: a hash of all that it asks for.
        IdempotencyConflictError while the first is being answered, IdempotencyMismatchError if it was another request,
        ConfigError for a name that is none.
        """
        if not 0 < len(idempotency_key) <= _LONGEST or not idempotency_key.isprintable():
            text = f"must be 1 to {_LONGEST} printable characters, such as a UUID"
            raise ConfigError([Problem("Idempotency-Key", text)])
        earlier = self._store.begin(key_id, idempotency_key, request, self._app.clock(), _KEPT, _HELD)
        if earlier is None:
            return None
        if earlier.request != request:
            raise IdempotencyMismatchError
        if earlier.answer is None:
            raise IdempotencyConflictError
        return earlier.answer

    def finish(self, key_id: str, idempotency_key: str, status: int, headers: Mapping[str, str], body: str) -> None:
        """Keep the answer; who repeats the request gets it word for word."""
        self._store.finish(key_id, idempotency_key, KeptAnswer(status, headers, body))

    def abandon(self, key_id: str, idempotency_key: str) -> None:
        """Forget the request: a repetition does it afresh."""
        self._store.abandon(key_id, idempotency_key)
