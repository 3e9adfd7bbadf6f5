"""What configuration that comes over the REST API may not hold: foreign environment variables, and literal secrets.

Files are written by whoever also sets the environment; a request is not. So a request can name only the variables that
`ZSYNC_API_ENV` allows, and what it holds can always be shown again as it was written.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Any

from zsync_pipelines.config.environment import malformed, references, texts
from zsync_pipelines.config.secret_text import holds_literal
from zsync_pipelines.domain.catalog import ConfigObject, kind_of
from zsync_pipelines.domain.config import Kind, ManagedBy, Sync
from zsync_pipelines.domain.secrecy import Secrecy
from zsync_pipelines.errors import Problem
from zsync_pipelines.service.bootstrap import Zsync
from zsync_pipelines.service.masked_config import change_body
from zsync_pipelines.store.loaded_catalog import LoadedCatalog, body_of, destination_type_of

_RESOLVED = ("url", "config", "alerts")
"""Keys whose texts an operation resolves references in."""


def api_faults(app: Zsync, value: ConfigObject, loaded: LoadedCatalog | None = None) -> list[Problem]:
    """Every fault of an object that the API is asked to store, by key path. `loaded`: the stored configuration, where
    it was read already."""
    kind, body = kind_of(value), body_of(value)
    at = f"{kind.value}.{value.id}"
    stored = loaded or app.catalog.load()
    resolved = {key: body[key] for key in _RESOLVED if key in body}
    return [
        *malformed(resolved, at),
        *_foreign(resolved, at, _patterns(app.settings.api_env)),
        *_literals(kind, body, at, stored, _example(app.settings.api_env)),
        *_overrides(value, body, at, stored),
    ]


def _patterns(api_env: str) -> list[str]:
    return [pattern for part in api_env.split(",") if (pattern := part.strip())]


def _example(api_env: str) -> str:
    """How a reference that is allowed may look."""
    return "${" + next(iter(_patterns(api_env)), "ZSYNC_SECRET_*").replace("*", "...") + "}"


def _foreign(resolved: Mapping[str, Any], at: str, patterns: list[str]) -> Iterator[Problem]:
    allowed = ", ".join(patterns) or "none"
    for where, text in texts(resolved, at):
        for name in sorted(references(text)):
            if not any(fnmatchcase(name, pattern) for pattern in patterns):
                yield Problem(
                    where,
                    f"may not refer to environment variable '{name}'; allowed over the API: {allowed} (ZSYNC_API_ENV)",
                )


def _literals(kind: Kind, body: Mapping[str, Any], at: str, loaded: LoadedCatalog, example: str) -> list[Problem]:
    found: list[Problem] = []

    def judge(path: tuple[str, ...], given: Any, secrecy: Secrecy) -> Any:
        if not isinstance(given, str) or holds_literal(given, secrecy):
            what = "holds a literal password or token" if secrecy is Secrecy.URL else "is a secret, and given literally"
            how = f"write {example} in its place and set that variable where zsync runs"
            found.append(Problem(".".join((at, *path)), f"{what}; {how}"))
        return given

    change_body(kind, body, destination_type_of(kind, body, loaded.body), judge)
    return found


def _overrides(value: ConfigObject, body: Mapping[str, Any], at: str, loaded: LoadedCatalog) -> list[Problem]:
    """A sync's `config` is laid over its destination's. An address there would be sent the secrets that files hold."""
    found: list[Problem] = []
    if isinstance(value, Sync) and loaded.managed_by(Kind.DESTINATION, value.destination_id) is ManagedBy.FILES:

        def refuse(path: tuple[str, ...], given: Any, secrecy: Secrecy) -> Any:
            if path[0] == "config":
                text = f"belongs to destination '{value.destination_id}', which files manage; leave it out here"
                found.append(Problem(".".join((at, *path)), text))
            return given

        change_body(Kind.SYNC, body, destination_type_of(Kind.SYNC, body, loaded.body), refuse)
    return found
