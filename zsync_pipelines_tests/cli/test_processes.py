"""Processes that belong together, as real processes: they start, are watched, and none of them is left behind."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from zsync_pipelines.cli.processes import Patience, Service, answers, supervise
from zsync_pipelines.errors import ServiceError

SERVER = """
import http.server, os, pathlib, signal, subprocess, sys
name, port, how = sys.argv[1], int(sys.argv[2]), sys.argv[3]
sleeper = subprocess.Popen([sys.executable, "-c", {sleeper!r}, how])
pathlib.Path(name + ".pids").write_text(f"{{os.getpid()}} {{sleeper.pid}}")
if "deaf" in how:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
if "stone" in how:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("up on", port, flush=True)
print("a secretless line on stderr", file=sys.stderr, flush=True)
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if "unready" not in how:
            self.send_response(204)
        else:
            self.send_response(503)
        self.end_headers()
    def log_message(self, *args): pass
try:
    http.server.HTTPServer(("127.0.0.1", port), Handler).serve_forever()
except KeyboardInterrupt:
    print("bye", flush=True)
    if "careless" not in how:
        sleeper.terminate()
        sleeper.wait()
"""
SLEEPER = """
import signal, sys, time
signal.signal(signal.SIGINT, signal.SIG_IGN)
if "stone" in sys.argv[1]:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
time.sleep(60)
"""
SUPERVISOR = """
import sys
from zsync_pipelines.cli.processes import Patience, Service, supervise
from zsync_pipelines_tests.cli.test_processes import service
from pathlib import Path
import json
folder, ports, hows, patience = Path(sys.argv[1]), *map(json.loads, sys.argv[2:])
services = [service(folder, f"s{n}", port, how) for n, (port, how) in enumerate(zip(ports, hows))]
ended = supervise(services, lambda: print("READY", flush=True), Patience(*patience))
print(ended.name, flush=True)
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def service(folder: Path, name: str, port: int, how: str = "good") -> Service:
    """A server that has a child of its own. `how`: deaf (to SIGINT), stone (to SIGTERM), careless (leaves its child),
    unready (answers 503)."""
    command = [sys.executable, "-c", SERVER.format(sleeper=SLEEPER), str(folder / name), str(port), how]
    return Service(name, command, f"http://127.0.0.1:{port}/ready")


def pids(folder: Path) -> list[int]:
    found = [int(pid) for file in folder.glob("*.pids") for pid in file.read_text().split()]
    assert found
    return found


def lives(pid: int) -> bool:
    stat = Path(f"/proc/{pid}/stat")
    try:
        if stat.parent.parent.joinpath("self").exists():
            return stat.read_text().rpartition(")")[2].split()[0] not in ("Z", "X")
        os.kill(pid, 0)
    except OSError:
        return False
    return True


class Running:
    """A supervisor in a process of its own."""

    def __init__(self, folder: Path, *hows: str, patience: tuple[float, float, float] = (30, 20, 20)) -> None:
        self.folder = folder
        ports = [free_port() for _ in hows]
        words = [str(folder), repr(ports), str(list(hows)).replace("'", '"'), str(list(patience))]
        self.process = subprocess.Popen(
            [sys.executable, "-c", SUPERVISOR, *words],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2],
        )  # fmt: skip

    def ready(self) -> None:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line == "READY\n", self.process.communicate()

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def end(self) -> tuple[str, str]:
        out, err = self.process.communicate(timeout=30)
        assert [pid for pid in pids(self.folder) if lives(pid)] == [], err
        return out, err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_all_in_order_and_is_told(tmp_path, number):
    running = Running(tmp_path, "good", "good")
    running.ready()
    running.signal(number)
    out, err = running.end()
    assert out == f"{number.name}\n"
    for line in ("s0: up on", "s1: up on", "s0: a secretless line on stderr", "s0: bye", "s1: bye"):
        assert line in err


def test_a_child_that_ignores_the_first_signal_gets_the_second_and_then_the_last(tmp_path):
    running = Running(tmp_path, "deaf", "deaf stone", "careless", patience=(30, 0.3, 0.3))
    running.ready()
    running.signal(signal.SIGINT)
    out, _ = running.end()
    assert out == "SIGINT\n"


def test_a_second_ctrl_c_kills_at_once(tmp_path):
    running = Running(tmp_path, "deaf stone", patience=(30, 60, 60))
    running.ready()
    running.signal(signal.SIGINT)
    time.sleep(0.2)
    running.signal(signal.SIGINT)  # within a moment: the same one, told twice
    time.sleep(0.2)
    assert running.process.poll() is None
    time.sleep(0.2)
    before = time.monotonic()
    running.signal(signal.SIGINT)
    out, _ = running.end()
    assert out == "SIGINT\n"
    assert time.monotonic() - before < 20


def test_when_one_dies_the_others_are_stopped_and_its_last_lines_are_told(tmp_path, capfd):
    def kill() -> None:
        os.kill(int((tmp_path / "victim.pids").read_text().split()[0]), signal.SIGKILL)

    services = [service(tmp_path, "witness", free_port()), service(tmp_path, "victim", free_port())]
    with pytest.raises(ServiceError, match="victim was killed by SIGKILL; the other processes were stopped") as told:
        supervise(services, kill, Patience(30, 1, 5))
    assert "a secretless line on stderr" in str(told.value)
    assert [pid for pid in pids(tmp_path) if lives(pid)] == []
    assert "witness: bye" in capfd.readouterr().err


def test_one_that_ends_before_it_is_ready_ends_the_start(tmp_path):
    code = f"""
import pathlib, time
while not pathlib.Path({str(tmp_path / "other.pids")!r}).exists():
    time.sleep(0.05)
print("no such option")
raise SystemExit(2)
"""
    gone = Service("gone", [sys.executable, "-c", code], "http://127.0.0.1:9/")
    with pytest.raises(ServiceError, match=r"gone ended with exit code 2; .*\n  no such option") as told:
        supervise([service(tmp_path, "other", free_port()), gone], pytest.fail)
    assert "up on" not in str(told.value), "what the others said is none of its business"
    assert [pid for pid in pids(tmp_path) if lives(pid)] == []


def test_one_that_never_answers_ends_the_start(tmp_path):
    with pytest.raises(ServiceError, match=r"slow does not answer at http://.* after 0.8 seconds.*\n  up on"):
        supervise([service(tmp_path, "slow", free_port(), "unready")], pytest.fail, Patience(0.8, 5, 5))
    assert [pid for pid in pids(tmp_path) if lives(pid)] == []


def test_a_command_that_is_not_there_is_told_and_the_others_are_stopped(tmp_path):
    lost = Service("lost", [str(tmp_path / "nothing")], "http://127.0.0.1:9/")
    with pytest.raises(ServiceError, match=r"lost cannot be started: .*nothing: No such file"):
        supervise([lost], pytest.fail)


def test_handlers_are_put_back(tmp_path):
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(ServiceError):
        supervise([Service("lost", [str(tmp_path / "nothing")], "")], pytest.fail)
    assert signal.getsignal(signal.SIGTERM) is before


def test_what_answers_is_asked_directly(monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    assert not answers(f"http://127.0.0.1:{free_port()}/")
