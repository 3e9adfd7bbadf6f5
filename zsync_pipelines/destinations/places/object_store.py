"""Answers of an object store that holds a destination's files: who must act.

| what happens | meaning |
|---|---|
| no connection, time-out, 408, 429, 5xx, and retries are used up | UnreachableError |
| 401, 403, no or expired credentials | CredentialsError |
| 404, a bucket of another region | TargetMissingError |
| any other 4xx | DestinationError |
| a request that shows a file, and its tries brought no definite answer | OutcomeUnknownError |
"""

from __future__ import annotations

from contextlib import AbstractContextManager

from zsync_pipelines.errors import (
    ConfigError,
    CredentialsError,
    DestinationError,
    OutcomeUnknownError,
    TargetMissingError,
    UnreachableError,
    ZsyncError,
)
from zsync_pipelines.objects import answers as objects
from zsync_pipelines.objects.answers import RIGHTS, Failure, Meaning
from zsync_pipelines.objects.clouds import PLAIN_HTTP

ALLOW_HTTP = "add `allow_http: true` to `options`"
_KINDS: dict[Meaning, tuple[type[ZsyncError], str]] = {
    Meaning.PLAIN_HTTP: (ConfigError, PLAIN_HTTP.format(allow=ALLOW_HTTP)),
    Meaning.NO_CREDENTIALS: (
        CredentialsError,
        "no credentials are to be had ({why}); give them in `options` or in the environment",
    ),
    Meaning.CREDENTIALS: (
        CredentialsError,
        f"the store refused the credentials ({{why}}); check those in `options` or in the environment, and {RIGHTS}",
    ),
    Meaning.REGION: (TargetMissingError, "lies in another region; name it in the option `region`"),
    Meaning.MISSING: (TargetMissingError, "is not there ({why}); create it, or correct `url`"),
    Meaning.PASSING: (UnreachableError, "{why}; check the network and the endpoint, then run again"),
    Meaning.REFUSED: (DestinationError, "the store refused the request ({why}); check `url` and `options`"),
}


def answers(place: str, *, shows: bool = False) -> AbstractContextManager[None]:
    """Turn the library's failures into ours. `place`: how texts name it. `shows`: if the request succeeds, readers see
    what it wrote."""

    def meaning(failure: Failure) -> ZsyncError:
        if shows and not failure.definite:
            return OutcomeUnknownError(
                f"{place}: no definite answer ({failure.why}), so nobody knows whether the file is in place; the next "
                "run sends its rows again"
            )
        kind, said = _KINDS[failure.meaning]
        return kind(f"{place}: {said.format(why=failure.why)}")

    return objects.answers(meaning)
