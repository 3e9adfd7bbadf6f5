"""Where this installation lives: paths and URLs from the environment (docs/cli.md)."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from zsync_pipelines.errors import ConfigError

DEFAULT_HOME = ".zsync"
DEFAULT_API_ENV = "ZSYNC_SECRET_*"
DEFAULT_DAGSTER_URL = "http://127.0.0.1:3000"
DEFAULT_KEEP_DAGSTER_RUNS_DAYS = 90
DEFAULT_KEEP_DELIVERIES_DAYS = 90
DEFAULT_KEEP_EVALUATIONS = 10
DEFAULT_KEEP_SNAPSHOTS_DAYS = 30
DEFAULT_QUEUE_DEADLINE = 60
DEFAULT_MEMORY_LIMIT = "1GiB"
DEFAULT_API_RATE, DEFAULT_API_BURST = 50, 100
DEFAULT_API_MAX_BODY = "1MiB"
DEFAULT_API_TIMEOUT = 30
LEAST_MEMORY = 64 << 20
LEAST_BODY = 1 << 10
_UNITS = {"": 1, **{f"{letter}B": 1000**n for n, letter in enumerate("KMGT", 1)}}
_UNITS |= {f"{letter}iB": 1024**n for n, letter in enumerate("KMGT", 1)}


@dataclass(frozen=True, slots=True)
class Settings:
    """Resolved settings. `home` is absolute; the URLs may hold passwords and so stay out of the repr.

    `keep_dagster_runs_days`: how long Dagster keeps finished runs of ours (zsync's own history stays).
    `keep_deliveries_days`: how long refused rows and the delivery ledger of older runs are kept. `keep_evaluations`: of
    how many evaluations of an audience the members are kept (two at least: a run may be about to read the one before).
    `keep_snapshots_days`: how long older versions of a snapshot are kept, and with them the history of members.
    `api_rate`, `api_burst`: requests a second of one API key, and at once; `api_max_body`: bytes of one request;
    `api_timeout`: seconds until it is answered.
    `memory_limit`: bytes that the data of a run may take, the interpreter and its libraries (some 200 MB) not counted.
    `queue_deadline_minutes`: within which a queued run must begin; it is closed as an error then.
    """

    home: Path
    database_url: str = field(repr=False)
    storage_url: str = field(repr=False)
    config_paths: tuple[Path, ...] = ()
    api_env: str = DEFAULT_API_ENV
    dagster_url: str = DEFAULT_DAGSTER_URL
    keep_dagster_runs_days: int = DEFAULT_KEEP_DAGSTER_RUNS_DAYS
    keep_deliveries_days: int = DEFAULT_KEEP_DELIVERIES_DAYS
    keep_evaluations: int = DEFAULT_KEEP_EVALUATIONS
    keep_snapshots_days: int = DEFAULT_KEEP_SNAPSHOTS_DAYS
    memory_limit: int = 1 << 30
    api_rate: int = DEFAULT_API_RATE
    api_burst: int = DEFAULT_API_BURST
    api_max_body: int = 1 << 20
    api_timeout: int = DEFAULT_API_TIMEOUT
    queue_deadline_minutes: int = DEFAULT_QUEUE_DEADLINE

    @property
    def piece_bytes(self) -> int:
        """What the engine takes in hand at a time. A step holds several: both sides, sorted copies, what is written."""
        return self.memory_limit // 64

    @property
    def database_bytes(self) -> int:
        """What a database that works within this process may take (DuckDB)."""
        return self.memory_limit // 2

    @property
    def temporary(self) -> Path:
        """Where data goes that does not fit into memory."""
        return self.home / "tmp"

    @classmethod
    def from_env(cls, env: Mapping[str, str] | None = None) -> Settings:
        """Read the `ZSYNC_*` variables; an empty one counts as unset. ConfigError for one that is no such value."""
        values = {name: value for name, value in (os.environ if env is None else env).items() if value}
        home = Path(values.get("ZSYNC_HOME", DEFAULT_HOME)).absolute()
        paths = values.get("ZSYNC_CONFIG", "")
        return cls(
            home=home,
            database_url=values.get("ZSYNC_DATABASE_URL", f"sqlite:///{home / 'zsync.db'}"),
            storage_url=values.get("ZSYNC_STORAGE_URL", str(home / "storage")),
            config_paths=tuple(Path(part) for part in paths.split(os.pathsep) if part),
            api_env=values.get("ZSYNC_API_ENV", DEFAULT_API_ENV),
            dagster_url=values.get("ZSYNC_DAGSTER_URL", DEFAULT_DAGSTER_URL),
            keep_dagster_runs_days=_number(
                values, "ZSYNC_KEEP_DAGSTER_RUNS_DAYS", DEFAULT_KEEP_DAGSTER_RUNS_DAYS, " of days"
            ),
            keep_deliveries_days=_number(
                values, "ZSYNC_KEEP_DELIVERIES_DAYS", DEFAULT_KEEP_DELIVERIES_DAYS, " of days"
            ),
            keep_evaluations=_number(values, "ZSYNC_KEEP_EVALUATIONS", DEFAULT_KEEP_EVALUATIONS, least=2),
            keep_snapshots_days=_number(values, "ZSYNC_KEEP_SNAPSHOTS_DAYS", DEFAULT_KEEP_SNAPSHOTS_DAYS, " of days"),
            memory_limit=_bytes(values, "ZSYNC_MEMORY_LIMIT", DEFAULT_MEMORY_LIMIT, "memory", LEAST_MEMORY),
            api_rate=_number(values, "ZSYNC_API_RATE", DEFAULT_API_RATE, " of requests a second"),
            api_burst=_number(values, "ZSYNC_API_BURST", DEFAULT_API_BURST, " of requests"),
            api_max_body=_bytes(values, "ZSYNC_API_MAX_BODY", DEFAULT_API_MAX_BODY, "bytes", LEAST_BODY),
            api_timeout=_number(values, "ZSYNC_API_TIMEOUT", DEFAULT_API_TIMEOUT, " of seconds"),
            queue_deadline_minutes=_number(values, "ZSYNC_QUEUE_DEADLINE", DEFAULT_QUEUE_DEADLINE, " of minutes"),
        )


def _number(values: Mapping[str, str], name: str, default: int, of: str = "", least: int = 1) -> int:
    text = values.get(name, str(default))
    if not text.isdecimal() or int(text) < least:
        raise ConfigError(f"{name}: '{text}' is no number{of}, a whole number of {least} or more")
    return int(text)


def _bytes(values: Mapping[str, str], name: str, default: str, of: str, least: int) -> int:
    text = values.get(name, default)
    found = re.fullmatch(r"\s*(\d+)\s*([KMGT]i?B)?\s*", text)
    size = int(found[1]) * _UNITS[found[2] or ""] if found else 0
    if size < least:
        shown = f"{least >> 20}MiB" if least >= 1 << 20 else f"{least >> 10}KiB"
        raise ConfigError(f"{name}: '{text}' is no amount of {of} of {shown} or more: write it as 512MiB or 2GiB")
    return size
