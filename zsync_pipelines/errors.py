"""Every exception of zsync, named by who must act.

ZsyncError
├── ConfigError            the configuration is wrong: change the file or the request
│   └── NotFoundError      there is no object of that id
├── SourceError            the source could not be read: the run ends before any diff
├── EvaluationError        there is no kept evaluation of the audience that may be used
├── SnapshotError          a snapshot is missing or damaged: never taken for a first run
├── StorageError           the storage folder, the bucket or the control database refused or failed
├── RefusedError           zsync will not do this as asked; the text names the option that allows it
│   ├── OlderAsOfError     `as_of` lies before the last committed run's
│   ├── KeyChangedError    the entity key column or its type changed
│   └── StaleDiffError     the snapshot moved after this diff was made
├── ConflictError          what is asked for does not go with what is stored
├── StaleRevisionError     somebody changed the object since it was read
├── LeaseHeldError         another run of the sync is under way
├── LeaseLostError         this run lost its lease: nothing of it may be committed
├── RunCancelledError      an operator asked the run to stop
├── UnauthorizedError      a request brings no API key that counts
├── BusyError              too many requests at once: a later try may be answered
├── IdempotencyConflictError   a request with this Idempotency-Key is still being answered
├── IdempotencyMismatchError   this Idempotency-Key came with another request before
├── NoDagsterError         no Dagster is there to launch a run: start one
├── AlertError             an alert did not arrive; the run it speaks of is not affected
├── ApiError               the REST API that a client talks to did not serve the request; `status` says more
│   └── ApiUnreachableError    nothing answers at its address
├── ServiceError           a process that `zsync dev` needs cannot start, ended, or does not answer
└── DestinationError       the destination could not serve the run
    ├── CredentialsError   credentials are wrong, expired or lack a permission
    ├── UnreachableError   no connection
    ├── TargetMissingError the list or table is gone
    ├── TryAgainError      nothing was applied, and a later try may be answered
    └── OutcomeUnknownError   sent, but no answer: the rows concerned are unconfirmed

The text of an error is for the user: what is wrong, where, and what to do. It never holds a secret or
a field value.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


class ZsyncError(Exception):
    """Base of all errors that zsync raises on purpose."""

    exit_code = 1


@dataclass(frozen=True, slots=True)
class Problem:
    """One fault in a configuration: where (file and dotted key path) and what."""

    path: str
    message: str
    file: str | None = None

    def __str__(self) -> str:
        place = ": ".join(part for part in (self.file, self.path) if part)
        return f"{place}: {self.message}" if place else self.message


class ConfigError(ZsyncError):
    """The configuration is wrong; `problems` lists every fault found, not only the first."""

    exit_code = 2

    def __init__(self, problems: Sequence[Problem] | str) -> None:
        self.problems = (Problem("", problems),) if isinstance(problems, str) else tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


class NotFoundError(ConfigError):
    """There is no object of that kind and id."""


class SourceError(ZsyncError):
    """The source could not be read. The run ends before any diff, so nothing is taken for a leaver."""


class EvaluationError(ZsyncError):
    """There is no kept evaluation of the audience that may be used; never taken for an empty audience."""


class SnapshotError(ZsyncError):
    """A snapshot file is missing or damaged. Never treated as a first run."""


class StorageError(ZsyncError):
    """The storage folder or bucket refused a read or a write, or the control database failed."""


class RefusedError(ZsyncError):
    """zsync will not do this as asked; the text names the option that allows it."""


class OlderAsOfError(RefusedError):
    """`as_of` lies before that of the last committed run."""


class KeyChangedError(RefusedError):
    """The entity key is another column, or of a type whose values are not the same keys."""


class StaleDiffError(RefusedError):
    """The snapshot moved after this diff was made; delivering it would undo the newer run."""


class ConflictError(ZsyncError):
    """The request does not go with what is stored: the id is taken, the object is in use, or files manage it."""


class StaleRevisionError(ZsyncError):
    """The object is not, or no longer, at the revision that the request names."""


class LeaseHeldError(ZsyncError):
    """Another run of the sync is under way; `run_id` names it."""

    def __init__(self, sync_id: str, run_id: str) -> None:
        self.sync_id = sync_id
        self.run_id = run_id
        super().__init__(
            f"run {run_id} of sync '{sync_id}' is under way; wait for it or stop it with `zsync cancel {sync_id}`"
        )


class LeaseLostError(ZsyncError):
    """This run no longer holds its sync's lease: nothing of it may be sent or committed."""


class RunCancelledError(ZsyncError):
    """An operator asked the run to stop."""


class UnauthorizedError(ZsyncError):
    """A request brings no API key that counts. Never says which part was wrong."""

    def __init__(
        self, text: str = "this API key is wrong, expired or revoked; `zsync api-key create` makes one"
    ) -> None:
        super().__init__(text)


class BusyError(ZsyncError):
    """Too many requests at once; `retry_after` seconds later one may be answered."""

    def __init__(self, retry_after: float) -> None:
        self.retry_after = retry_after
        super().__init__(f"too many requests at once; try again in {retry_after:g} seconds")


class IdempotencyConflictError(ZsyncError):
    """The first request with an Idempotency-Key is still being answered."""

    def __init__(self) -> None:
        super().__init__("a request with this Idempotency-Key is still being answered; try again in a moment")


class IdempotencyMismatchError(ZsyncError):
    """An Idempotency-Key came with another request before."""

    def __init__(self) -> None:
        super().__init__(
            "this Idempotency-Key came with another method, path or body within the last 24 hours; use a new one"
        )


class NoDagsterError(ZsyncError):
    """No Dagster is there to launch a run, or it did not; the text says how to start one."""


class AlertError(ZsyncError):
    """An alert did not arrive, or nobody knows whether it did. The text names no address."""


class ApiError(ZsyncError):
    """The REST API that a client talks to did not serve a request. `status`: of its answer; 0 if there was none."""

    def __init__(self, status: int, text: str) -> None:
        self.status = status
        super().__init__(text)


class ApiUnreachableError(ApiError):
    """Nothing answers at the address of the REST API, or not to the end."""

    def __init__(self, text: str) -> None:
        super().__init__(0, text)


class ServiceError(ZsyncError):
    """A process that `zsync dev` needs cannot start, ended by itself, or does not answer."""


class DestinationError(ZsyncError):
    """The destination could not serve the run."""


class CredentialsError(DestinationError):
    """The destination refused the credentials, or they lack a permission."""


class UnreachableError(DestinationError):
    """The destination could not be reached; nothing was applied by this request."""


class TargetMissingError(DestinationError):
    """The destination's list, table or folder is gone, or is not what the sync needs."""


class TryAgainError(DestinationError):
    """Nothing of the request was applied, and a later try may be answered.

    `retry_after`: seconds that the destination asks to wait. `limited`: it only asks for patience (a rate limit), so
    that waiting spends none of the tries.
    """

    def __init__(self, message: str, *, retry_after: float | None = None, limited: bool = False) -> None:
        super().__init__(message)
        self.retry_after = retry_after
        self.limited = limited


class OutcomeUnknownError(DestinationError):
    """A request was sent and no answer came: whether it was applied is unknown.

    `retry_after`: seconds that the destination asks to wait before another try.
    """

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after
