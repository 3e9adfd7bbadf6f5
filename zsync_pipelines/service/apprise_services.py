"""Notification services through apprise, which is imported when a target needs it and not before."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from zsync_pipelines.domain.alerts import RECOVERED, TEST, Alert, AlertState
from zsync_pipelines.domain.audience_alerts import AudienceAlert
from zsync_pipelines.domain.wording import listed, near
from zsync_pipelines.errors import AlertError, ConfigError
from zsync_pipelines.service.hush import hushed

if TYPE_CHECKING:
    from apprise import NotificationManager, NotifyBase

_STATUS = re.compile(r"\berror=(\d{3})\b")
_USUAL = ("https", "mailtos", "slack", "discord", "workflows", "pagerduty", "opsgenie", "ntfys", "tgram")


def scheme_fault(scheme: str) -> str | None:
    """What is wrong with a scheme, if anything; it is not repeated, since whatever was written may be a secret."""
    manager = _manager()
    known = manager.schemas()
    if scheme in known and not manager[scheme].enabled:
        return f"'{scheme}' needs a library that is not installed; see apprise's page on this service"
    if scheme in known or scheme in ("http", "https"):
        return None
    hint = near(scheme, [*known, "http", "https"]) or ";"
    return f"has an unknown scheme{hint} some that are known: {listed(_USUAL)}"


def url_fault(url: str) -> str | None:
    """What is wrong with a resolved URL of a service, if anything; its text is not repeated."""
    try:
        service(url)
    except ConfigError as error:
        return str(error)
    return None


def service(url: str) -> NotifyBase:
    """The service that a URL names, with its settings; nothing is sent. ConfigError, without the URL, if it is none."""
    manager = _manager()
    from apprise import Apprise, AppriseAsset

    scheme = url.partition("://")[0].lower()
    asset = AppriseAsset(
        app_id="zsync",
        app_desc="zsync",
        app_url="",
        image_url_mask="",
        image_url_logo="",
        http_redirects=False,
        async_mode=False,
        pgp_autogen=False,
        pem_autogen=False,
    )
    with hushed():
        found = Apprise.instantiate(url, asset=asset)
    if found is None:
        known = f"'{scheme}' " if scheme in manager.schemas() else ""
        reason = scheme_fault(scheme) or f"is no complete {known}address; see apprise's page on this service"
        raise ConfigError(reason)
    return found


def notify(url: str, alert: Alert | AudienceAlert, seconds: float) -> None:
    """Send an alert to the service that a URL names. AlertError, without the URL, if it did not take it.

    `seconds` bounds each connection and each read, not the whole.
    """
    try:
        found = service(url)
    except ConfigError as error:
        raise AlertError(f"the target {error}") from None
    from apprise import NotifyFormat, NotifyType

    kinds = {AlertState.ERROR.value: NotifyType.FAILURE, RECOVERED: NotifyType.SUCCESS, TEST: NotifyType.INFO}
    found.socket_connect_timeout = min(found.socket_connect_timeout, seconds)
    found.socket_read_timeout = min(found.socket_read_timeout, seconds)
    with hushed() as heard:
        taken = found.notify(
            title=alert.title,
            body=alert.text,
            notify_type=kinds.get(alert.event, NotifyType.WARNING),
            body_format=NotifyFormat.TEXT,
        )
    if not taken:
        raise AlertError(_reason(heard))


def _reason(heard: list[str]) -> str:
    """Why a service did not take a message: of what apprise said only what cannot hold a secret."""
    status = next((found[1] for said in heard if (found := _STATUS.search(said))), None)
    if status is not None:
        return f"HTTP {status}"
    if any("connection error" in said.lower() for said in heard):
        return "no connection, or it broke"
    return "the service did not take it"


def _manager() -> NotificationManager:
    try:
        from apprise import NotificationManager
    except ImportError:
        raise ConfigError("needs apprise, which is not installed: pip install 'zsync-pipelines[alerts]'") from None
    return NotificationManager()
