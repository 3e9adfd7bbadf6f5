"""Targets of alerts: which kind each is, and what is wrong with one as far as its text tells. Nothing is sent.

`https://` and `http://` are webhooks, unless the address is at a service's own host; every other scheme is apprise's.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from zsync_pipelines.config.environment import references, resolve
from zsync_pipelines.domain.catalog import Catalog, kind_of
from zsync_pipelines.domain.config import Audience, Sync
from zsync_pipelines.domain.run import utc_text
from zsync_pipelines.errors import ConfigError, Problem
from zsync_pipelines.service import apprise_services
from zsync_pipelines.store.alerts import Told

WEBHOOK, UNKNOWN = "webhook", "unknown"
_WEB = ("http", "https")
_SERVICES = {
    "hooks.slack.com": "slack",
    "hooks.slack-gov.com": "slack",
    "discord.com": "discord",
    "discordapp.com": "discord",
    "chat.googleapis.com": "gchat",
    "logic.azure.com": "workflows",
    "api.powerplatform.com": "workflows",
}
"""Hosts, and what ends in them, whose webhooks want a body of their own; by apprise's name of the service."""
_HOW = "write https://..., mailtos://..., slack://... or another URL of apprise"
_MAIL = "a mail target needs its server: mailtos://user:${PASSWORD}@smtp.example.org?from=...&to=..."


@dataclass(frozen=True, slots=True)
class AlertTarget:
    """One target of a sync or an audience, by its place in the list; its text, which may hold a secret, stays out of
    the repr. `owner_id`: of the sync or audience."""

    owner_id: str
    place: int
    written: str = field(repr=False)

    @property
    def fingerprint(self) -> str:
        """What the target is known by in the database, wherever it stands in the list."""
        return hashlib.sha256(self.written.encode()).hexdigest()

    @property
    def path(self) -> str:
        """How messages name it."""
        return f"alerts.{self.place}"

    def resolved(self, environment: Mapping[str, str]) -> str:
        """Its text with references resolved. ConfigError if one is not set."""
        text: str = resolve(self.written, environment, self.path)
        return text


def alert_targets(owner: Sync | Audience) -> list[AlertTarget]:
    """The targets of a sync or an audience in their order, each once."""
    places = {target: place for place, target in reversed(list(enumerate(owner.alerts)))}
    return [AlertTarget(owner.id, place, target) for target, place in sorted(places.items(), key=lambda item: item[1])]


@dataclass(frozen=True, slots=True)
class AlertFailure:
    """A target that the last message did not reach, by its place in the list."""

    target: int
    failure: str
    failed_at: datetime | None

    def to_json(self) -> dict[str, Any]:
        """As users see it."""
        return {"target": self.target, "failure": self.failure, "failed_at": utc_text(self.failed_at)}


def failures_of(sync: Sync, told: Iterable[Told]) -> tuple[AlertFailure, ...]:
    """The targets of a sync that the last message did not reach, of what is known of any sync's targets."""
    failed = {t.target: t for t in told if t.sync_id == sync.id and t.failure is not None}
    return tuple(
        AlertFailure(target.place, known.failure or "", known.failed_at)
        for target in alert_targets(sync)
        if (known := failed.get(target.fingerprint)) is not None
    )


def kind_of_target(target: str) -> str:
    """`webhook`, or the scheme of an apprise service; `unknown` where only its reference tells."""
    scheme, found, rest = target.partition("://")
    if not found or "${" in scheme:
        return UNKNOWN
    if scheme.lower() not in _WEB:
        return scheme.lower()
    host = re.split(r"[/?#]", rest, maxsplit=1)[0].rpartition("@")[2].partition(":")[0].lower()
    return next((name for end, name in _SERVICES.items() if f".{host}".endswith(f".{end}")), WEBHOOK)


def check_alert_targets(catalog: Catalog) -> Iterator[Problem]:
    """Faults of targets as written, at their key paths; what only a resolved reference tells is not judged."""
    owners: list[Audience | Sync] = [*catalog.audiences.values(), *catalog.syncs.values()]
    for owner in owners:
        for target in alert_targets(owner):
            found = fault(target.written)
            if found is not None:
                yield Problem(f"{kind_of(owner).value}.{owner.id}.{target.path}", found)


def fault(target: str) -> str | None:
    """What is wrong with a target, without its text; None if nothing is, or only its references tell."""
    kind, open_ = kind_of_target(target), bool(references(target))
    try:
        if kind == UNKNOWN:
            return None if open_ else _no_url(target)
        if kind == WEBHOOK:
            return None if open_ or _has_host(target) else f"is no complete address; {_HOW}"
        return _scheme_fault(target) or (None if open_ else apprise_services.url_fault(target))
    except ConfigError as error:  # apprise is not installed
        return str(error)


def _scheme_fault(target: str) -> str | None:
    return apprise_services.scheme_fault(target.partition("://")[0].lower())


def _no_url(target: str) -> str:
    return _MAIL if target.lower().startswith(("mailto:", "mailtos:")) else f"is no URL; {_HOW}"


def _has_host(target: str) -> bool:
    try:
        parts = urlsplit(target)
        return bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        return False
