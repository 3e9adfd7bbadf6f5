"""Processes that belong together: started together, watched, and none of them left behind.

Each child leads a process group of its own, so that a Ctrl-C in the terminal reaches only the supervisor, and so that
whatever a child started can be stopped with it.
"""

from __future__ import annotations

import http.client
import os
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import IO
from urllib.parse import urlsplit

from zsync_pipelines.errors import ServiceError

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_POLL_SECONDS = 0.1
_ASK_EVERY_SECONDS = 0.3
_ANSWER_SECONDS = 2.0
_LAST_LINES = 20
_SAME_SECONDS = 0.3
"""Signals that come closer together are one: some programs signal a process and its group."""


@dataclass(frozen=True, slots=True)
class Service:
    """A command that runs until it is stopped.

    `ready_url` answers, with a status below 500, once it is up. `env` is its whole environment; None: that of this
    process.
    """

    name: str
    command: Sequence[str]
    ready_url: str
    env: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Patience:
    """Seconds to wait: until a service answers, after SIGINT to it, and after SIGTERM to what it left in its group.

    The last is for syncs under way: they end after the batches in flight.
    """

    ready: float = 180.0
    interrupt: float = 20.0
    terminate: float = 15.0


def supervise(
    services: Sequence[Service], on_ready: Callable[[], None], patience: Patience | None = None
) -> signal.Signals:
    """Start the services and keep them until a signal comes; none of them is running when this returns or raises.

    `on_ready` is called once, when all of them answer. Their output goes to stderr, each line after the service's name.
    Returns the signal that ended it (SIGINT, SIGTERM or SIGHUP); a second one while stopping kills at once.
    ServiceError if a service ends by itself or does not answer in time, with the last lines of its output.
    """
    with _noting_signals() as signals:
        group = _Children(patience or Patience(), signals)
        try:
            for service in services:
                group.start(service)
            group.wait_until_ready()
            if not signals:
                on_ready()
            while not signals:
                group.check()
                time.sleep(_POLL_SECONDS)
            sys.stderr.write("stopping everything; Ctrl-C once more kills it at once\n")
            return signals[0]
        finally:
            group.stop()


class _Child:
    """A service that was started."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.last: deque[str] = deque(maxlen=_LAST_LINES)
        environment = {**(os.environ if service.env is None else service.env), "PYTHONUNBUFFERED": "1"}
        try:
            self.process = subprocess.Popen(  # noqa: S603  # our own commands
                service.command,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except OSError as error:
            raise ServiceError(f"{service.name} cannot be started: {service.command[0]}: {error.strerror}") from None
        self._reader = threading.Thread(target=self._pass_on, args=(self.process.stdout,), daemon=True)
        self._reader.start()

    def said(self) -> str:
        """The last lines, once everything that a dead process wrote was read."""
        self._reader.join(1.0)
        return "".join(f"\n  {line}" for line in self.last)

    def interrupt(self) -> None:
        """As Ctrl-C does. Only to the leader, which then ends what it started in the order that it wants."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        else:
            self.signal_group(signal.SIGINT)

    def signal_group(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, number)

    def is_over(self) -> bool:
        """Whether it has ended, and everything that it started in its group."""
        return self.process.poll() is not None and not _group_lives(self.process.pid)

    def _pass_on(self, output: IO[bytes]) -> None:
        for raw in output:
            line = raw.decode(errors="replace").rstrip()
            self.last.append(line)
            with suppress(OSError, ValueError):  # whoever read our stderr is gone; the child must not block on it
                sys.stderr.write(f"{self.service.name}: {line}\n")
                sys.stderr.flush()


class _Children:
    """The services that were started, as one."""

    def __init__(self, patience: Patience, signals: Sequence[signal.Signals]) -> None:
        self._patience = patience
        self._signals = signals
        self._children: list[_Child] = []

    def start(self, service: Service) -> None:
        if not self._signals:
            self._children.append(_Child(service))

    def check(self) -> None:
        """ServiceError if one has ended."""
        for child in self._children:
            code = child.process.poll()
            if code is not None:
                how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
                raise ServiceError(f"{child.service.name} {how}; the other processes were stopped{child.said()}")

    def wait_until_ready(self) -> None:
        """Return once all answer, or a signal came."""
        until = time.monotonic() + self._patience.ready
        waiting = list(self._children)
        while waiting and not self._signals:
            self.check()
            if answers(waiting[0].service.ready_url):
                waiting.pop(0)
            elif time.monotonic() > until:
                service = waiting[0].service
                raise ServiceError(
                    f"{service.name} does not answer at {service.ready_url} after {self._patience.ready:g} seconds; "
                    f"everything was stopped{waiting[0].said()}"
                )
            else:
                time.sleep(_ASK_EVERY_SECONDS)

    def stop(self) -> None:
        """Ask each to end, then tell what is left of its group to, then kill it. A signal meanwhile kills at once."""
        before, patience = len(self._signals), self._patience
        for child in self._children:
            child.interrupt()
        self._wait(patience.interrupt, before, lambda child: child.process.poll() is not None)
        if len(self._signals) == before:
            for child in self._children:
                child.signal_group(signal.SIGTERM)
            self._wait(patience.terminate, before, _Child.is_over)
        for child in self._children:
            child.signal_group(signal.SIGKILL)
            child.process.wait()

    def _wait(self, seconds: float, signals: int, over: Callable[[_Child], bool]) -> None:
        until = time.monotonic() + seconds
        while not all(map(over, self._children)) and time.monotonic() < until and len(self._signals) == signals:
            time.sleep(_POLL_SECONDS)


@contextmanager
def _noting_signals() -> Iterator[list[signal.Signals]]:
    """The stop signals that came, in order. Children start with the default action, whatever ours was."""
    came: list[signal.Signals] = []
    last = -_SAME_SECONDS

    def note(number: int, frame: FrameType | None) -> None:
        nonlocal last
        if time.monotonic() - last >= _SAME_SECONDS:
            came.append(signal.Signals(number))
        last = time.monotonic()

    before = {number: signal.signal(number, note) for number in STOP_SIGNALS}
    try:
        yield came
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def answers(url: str) -> bool:
    """Whether an HTTP server answers there with a status below 500. Asked directly, whatever proxies are set."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=_ANSWER_SECONDS)
    try:
        connection.request("GET", parts.path or "/")
        return connection.getresponse().status < http.HTTPStatus.INTERNAL_SERVER_ERROR
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _group_lives(group: int) -> bool:
    """Whether a process of the group is alive. One that only waits for its parent to notice its end is not."""
    try:
        os.killpg(group, 0)
    except (ProcessLookupError, PermissionError):
        return False
    if not Path("/proc/self/stat").exists():
        return True
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            state, _, its_group = stat.read_text().rpartition(")")[2].split()[:3]
            if int(its_group) == group and state not in ("Z", "X"):
                return True
    return False
