"""Send one alert to one target, in bounded time."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from queue import Empty, Queue

from zsync_pipelines.domain.alerts import Alert
from zsync_pipelines.domain.audience_alerts import AudienceAlert
from zsync_pipelines.errors import AlertError, ConfigError
from zsync_pipelines.service import apprise_services
from zsync_pipelines.service.alert_targets import UNKNOWN, WEBHOOK, AlertTarget, kind_of_target
from zsync_pipelines.service.hush import hushed

SEND_SECONDS = 10.0
Message = Alert | AudienceAlert


def send(target: str, alert: Message) -> None:
    """Send to a resolved target. AlertError, which names neither the address nor a part of it, if it did not arrive
    or nobody knows; never takes much longer than `SEND_SECONDS`."""
    kind, seconds = kind_of_target(target), SEND_SECONDS
    if kind == UNKNOWN:
        raise AlertError("the target is no URL")
    sender = _post if kind == WEBHOOK else apprise_services.notify
    _within(seconds, lambda: sender(target, alert, seconds))


def try_to_send(target: AlertTarget, environment: Mapping[str, str], alert: Message) -> str | None:
    """Resolve a target and send to it: why the alert did not arrive, without a secret; None if it did."""
    try:
        send(target.resolved(environment), alert)
    except ConfigError as error:
        return "; ".join(problem.message for problem in error.problems)
    except AlertError as error:
        return str(error)
    return None


def _within(seconds: float, work: Callable[[], None]) -> None:
    """Do the work in a thread that is left alone when time is up: no library's own time-outs bound a slow answer."""
    outcome: Queue[AlertError | None] = Queue()

    def attempt() -> None:
        try:
            work()
            outcome.put(None)
        except AlertError as error:
            outcome.put(error)
        except Exception as error:  # whatever a library raises, whose text may hold the address
            outcome.put(AlertError(f"could not be sent ({type(error).__name__})"))

    threading.Thread(target=attempt, name="zsync-alert", daemon=True).start()
    try:
        failure = outcome.get(timeout=seconds)
    except Empty:
        raise AlertError(f"no answer within {seconds:g} seconds") from None
    if failure is not None:
        raise failure from None


def _post(url: str, alert: Message, seconds: float) -> None:
    """POST the documented body once; of the answer only its status is read."""
    import httpx  # the first alert brings it, not every run

    headers = {
        "content-type": "application/json",
        "user-agent": "zsync",
        "webhook-id": alert.id,
        "webhook-timestamp": str(int(alert.sent_at.timestamp())),
    }
    body = json.dumps(alert.to_json()).encode()
    try:
        with (
            hushed(),
            httpx.Client(timeout=seconds) as client,
            client.stream("POST", url, content=body, headers=headers) as response,
        ):
            status = response.status_code
    except httpx.TransportError as error:
        raise AlertError(f"no answer ({type(error).__name__})") from None
    if httpx.codes.is_redirect(status):
        raise AlertError(f"redirects (HTTP {status}); put the address it redirects to into the target")
    if not httpx.codes.is_success(status):
        raise AlertError(f"HTTP {status}")
