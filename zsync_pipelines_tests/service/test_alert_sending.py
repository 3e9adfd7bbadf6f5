"""Sending to real servers on loopback: plain webhooks over httpx, mail and Slack through apprise."""

from __future__ import annotations

import socket
import sys
import threading
import time
from contextlib import contextmanager, suppress
from datetime import UTC, datetime

import pytest

from zsync_pipelines.domain.alerts import Alert, AlertState
from zsync_pipelines.domain.run import Counts, RunOptions, RunStatus, SyncRun, Trigger
from zsync_pipelines.errors import AlertError
from zsync_pipelines.service import alert_sending
from zsync_pipelines.service.alert_sending import send
from zsync_pipelines_tests.support.inbox import HANG, inbox, mailbox

NOW = datetime(2024, 5, 1, 12, tzinfo=UTC)
RUN = SyncRun(
    "r1", "vip", RunStatus.PARTIAL_FAILURE, Trigger.SCHEDULE, RunOptions(), NOW, NOW, NOW, NOW, Counts(3, failed=2), 5,
    error="2 rows refused by the destination: see `zsync rejections vip` <b>&",
)  # fmt: skip
ALERT = Alert.of("a1", "Very important", RUN, AlertState.OK, NOW)
TOKEN = "TIiajkdnlazkcOXrIdevi7FQ"
SECRET = "s3cr3t-planted"


@pytest.fixture
def hook():
    with inbox() as found:
        yield found


@pytest.fixture
def mails():
    with mailbox() as found:
        yield found


@pytest.fixture
def slack(hook, monkeypatch):
    """Slack's own plugin of apprise, which posts to our server instead of Slack's."""
    from apprise.plugins.slack import NotifySlack

    monkeypatch.setattr(NotifySlack, "webhook_url", f"http://{hook.host}/services")
    return hook


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(alert_sending, "SEND_SECONDS", 0.5)


@pytest.fixture(autouse=True)
def no_secret_is_logged(caplog):
    """Whatever is sent, nothing that any library logs holds an address, even where everything is logged."""
    with caplog.at_level("DEBUG"):
        yield
    logged = [record.getMessage() for record in caplog.records if record.name != "mail.log"]  # our own SMTP server's
    for secret in (TOKEN, SECRET, "127.0.0.1"):
        assert not [text for text in logged if secret in text]


@contextmanager
def failing(text):
    with pytest.raises(AlertError, match=text) as caught:
        yield
    assert SECRET not in repr(caught.value)
    assert "127.0.0.1" not in repr(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None or caught.value.__suppress_context__


def test_a_webhook_gets_the_documented_body(hook):
    send(f"http://user:{SECRET}@{hook.host}/hook?token={SECRET}", ALERT)
    (request,) = hook.seen
    assert request.json == ALERT.to_json()
    assert request.path == f"/hook?token={SECRET}"
    assert request.headers["authorization"].startswith("Basic ")
    assert request.headers["user-agent"] == "zsync"


@pytest.mark.parametrize(("status", "text"), [(500, "HTTP 500"), (401, "HTTP 401"), (307, r"redirects \(HTTP 307\)")])
def test_a_webhook_that_does_not_take_it(hook, status, text):
    hook.script.append(status)
    with failing(text):
        send(f"http://{hook.host}/{SECRET}", ALERT)


def test_nobody_listens():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with failing(r"no answer \(ConnectError\)"):
        send(f"http://127.0.0.1:{port}/{SECRET}", ALERT)
    with failing("no connection, or it broke"):
        send(f"json://127.0.0.1:{port}/{SECRET}", ALERT)
    with failing("no connection, or it broke"):
        send(f"mailto://127.0.0.1:{port}?from=a@x.org&to=b@x.org", ALERT)


@pytest.mark.parametrize("target", [SECRET, "${HOOK}", f"slack://{SECRET}", f"foo://{SECRET}", f"http://[{SECRET}", ""])
def test_what_is_no_target_once_it_is_resolved(target):
    with failing("."):
        send(target, ALERT)


@pytest.mark.parametrize("scheme", ["http", "json", "mailto"])
def test_a_server_that_never_answers_takes_no_longer_than_it_may(hook, quick, scheme):
    hook.script.append(HANG)
    started = time.monotonic()
    with failing("no answer within 0.5 seconds|no connection, or it broke"):
        send(f"{scheme}://{hook.host}/hook?from=a@x.org&to=b@x.org", ALERT)
    assert time.monotonic() - started < 5


def test_an_answer_that_trickles_is_not_awaited(quick):
    """Each read is in time, the whole never: only the bound on the whole helps."""

    def serve(server):
        connection, _ = server.accept()
        with connection, suppress(OSError):
            for byte in b"HTTP/1.1 200 OK\r\nx: " + b"y" * 8:
                connection.sendall(bytes([byte]))
                time.sleep(0.05)

    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(10)
        thread = threading.Thread(target=serve, args=(server,))
        thread.start()
        started = time.monotonic()
        with failing("no answer within 0.5 seconds"):
            send(f"http://127.0.0.1:{server.getsockname()[1]}/hook", ALERT)
        assert time.monotonic() - started < 3
        thread.join()


def test_mail(mails):
    send(f"mailto://{mails.host}?from=zsync@example.org&to=ops@example.org,boss@example.org", ALERT)
    assert mails.recipients == ["ops@example.org", "boss@example.org"]
    mail = mails.mails[0]
    assert (mail["subject"], mail["to"]) == ("zsync: vip: partial failure", "ops@example.org")
    assert "zsync@example.org" in mail["from"]
    text = mail.get_body(("plain",)).get_content()
    assert "Sync Very important (vip) is partial_failure, was ok." in text
    assert "zsync rejections vip" in text
    assert "<b>&" in text, "the text is no markup"


def test_mail_that_the_server_refuses(mails):
    mails.refuse = f"550 no thanks {SECRET}"
    with failing("the service did not take it"):
        send(f"mailto://{mails.host}?from=zsync@example.org&to=ops@example.org", ALERT)


@pytest.mark.parametrize(
    "target",
    [f"slack://T1JJ3T3L2/A1BRTD4JD/{TOKEN}", f"https://hooks.slack.com/services/T1JJ3T3L2/A1BRTD4JD/{TOKEN}"],
)
def test_slack(slack, target):
    send(target, ALERT)
    (request,) = slack.seen
    assert request.path == f"/services/T1JJ3T3L2/A1BRTD4JD/{TOKEN}"
    assert "zsync: vip: partial failure" in request.body.decode()
    assert "zsync rejections vip" in request.body.decode()
    assert "github" not in request.body.decode(), "no picture from elsewhere"


def test_slack_that_does_not_take_it(slack):
    slack.script.append(404)
    with failing("^HTTP 404$"):
        send(f"slack://T1JJ3T3L2/A1BRTD4JD/{TOKEN}", ALERT)


def test_the_kind_of_news_reaches_services_that_show_it(hook):
    recovered = Alert.of("a2", None, SyncRun(**{**fields(RUN), "status": RunStatus.SUCCESS}), AlertState.ERROR, NOW)
    broken = Alert.of("a3", None, SyncRun(**{**fields(RUN), "status": RunStatus.ERROR}), AlertState.OK, NOW)
    for alert in (ALERT, recovered, broken):
        send(f"json://{hook.host}/x", alert)
    assert [request.json["type"] for request in hook.seen] == ["warning", "success", "failure"]


def fields(run):
    return {name: getattr(run, name) for name in SyncRun.__slots__}


def test_without_apprise_a_webhook_is_told_all_the_same(hook, monkeypatch):
    monkeypatch.setitem(sys.modules, "apprise", None)
    send(hook.url, ALERT)
    assert len(hook.seen) == 1
    with failing(r"needs apprise, which is not installed: pip install 'zsync-pipelines\[alerts\]'"):
        send(f"json://{hook.host}/x", ALERT)
