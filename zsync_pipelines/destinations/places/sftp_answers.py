"""Answers of an SFTP server, as asyncssh gives them: what a failure means, and who must act.

| what happens | meaning |
|---|---|
| the connection breaks, no answer in time | UnreachableError; OutcomeUnknownError if it was about to show a file |
| no such file or folder | TargetMissingError |
| permission denied | CredentialsError |
| anything else that the server says, such as a full disk | UnreachableError, with its words |
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from zsync_pipelines.destinations.redact import redacted
from zsync_pipelines.errors import (
    CredentialsError,
    DestinationError,
    OutcomeUnknownError,
    TargetMissingError,
    UnreachableError,
)

_LONGEST = 200


@contextmanager
def answers(place: str, secrets: Sequence[str]) -> Iterator[None]:
    """Turn failures of a session into ours. `place`: how texts name it. No text holds one of the secrets."""
    import asyncssh

    try:
        yield
    except (asyncssh.Error, OSError) as error:
        raise _meaning(error, place, secrets) from None


@contextmanager
def showing(place: str) -> Iterator[None]:
    """In this block readers begin to see a file: if the connection breaks, nobody knows whether they do."""
    try:
        yield
    except Exception as error:
        if not _is_gone(error):
            raise
        raise OutcomeUnknownError(
            f"{place}: the connection broke, so nobody knows whether the file is in place; the next run sends its rows "
            "again"
        ) from None


def _is_gone(error: Exception) -> bool:
    """Whether there was no answer."""
    import asyncssh

    lost = (asyncssh.SFTPConnectionLost, asyncssh.SFTPNoConnection, asyncssh.DisconnectError, OSError)
    return isinstance(error, lost)  # a time-out is an OSError


def _meaning(error: Exception, place: str, secrets: Sequence[str]) -> DestinationError:
    import asyncssh

    missing = (asyncssh.SFTPNoSuchFile, asyncssh.SFTPNoSuchPath, asyncssh.SFTPNotADirectory)
    denied = (asyncssh.SFTPPermissionDenied, asyncssh.SFTPWriteProtect, asyncssh.SFTPCannotDelete)
    if _is_gone(error):
        return UnreachableError(f"{place}: the connection broke, or no answer came in time; run again")
    if isinstance(error, missing):
        return TargetMissingError(f"{place}: a file or folder is not there, or no more; check `url`, or run again")
    if isinstance(error, denied):
        return CredentialsError(
            f"{place}: the server grants no permission; the user of `url` must be allowed to list, read, write, rename "
            "and delete there"
        )
    said = redacted(getattr(error, "reason", "") or type(error).__name__, secrets)[:_LONGEST]
    return UnreachableError(f"{place}: the server refused ({said}); check its disk's space and permissions")
