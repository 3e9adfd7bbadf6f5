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
DEFAULT_KEEP_DELIVERIES_DAYS = 90
DEFAULT_KEEP_EVALUATIONS = 10
DEFAULT_KEEP_SNAPSHOTS_DAYS = 30
DEFAULT_MEMORY_LIMIT = "1GiB"
LEAST_MEMORY = 64 << 20
_UNITS = {"": 1, **{f"{letter}B": 1000**n for n, letter in enumerate("KMGT", 1)}}
_UNITS |= {f"{letter}iB": 1024**n for n, letter in enumerate("KMGT", 1)}


@dataclass(frozen=True, slots=True)
class Settings:
    """Resolved settings. `home` is absolute; the URLs may hold passwords and so stay out of the repr.

    `keep_deliveries_days`: how long refused rows and the delivery ledger of older runs are kept. `keep_evaluations`: of
    how many evaluations of an audience the members are kept (two at least: a run may be about to read the one before).
    `keep_snapshots_days`: how long older versions of a snapshot are kept, and with them the history of members.
    `memory_limit`: bytes that the data of a run may take, the interpreter and its libraries (some 200 MB) not counted.
    """

    home: Path
    database_url: str = field(repr=False)
    storage_url: str = field(repr=False)
    config_paths: tuple[Path, ...] = ()
    api_env: str = DEFAULT_API_ENV
    dagster_url: str = DEFAULT_DAGSTER_URL
    keep_deliveries_days: int = DEFAULT_KEEP_DELIVERIES_DAYS
    keep_evaluations: int = DEFAULT_KEEP_EVALUATIONS
    keep_snapshots_days: int = DEFAULT_KEEP_SNAPSHOTS_DAYS
    memory_limit: int = 1 << 30

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
            keep_deliveries_days=_number(
                values, "ZSYNC_KEEP_DELIVERIES_DAYS", DEFAULT_KEEP_DELIVERIES_DAYS, " of days"
            ),
            keep_evaluations=_number(values, "ZSYNC_KEEP_EVALUATIONS", DEFAULT_KEEP_EVALUATIONS, least=2),
            keep_snapshots_days=_number(values, "ZSYNC_KEEP_SNAPSHOTS_DAYS", DEFAULT_KEEP_SNAPSHOTS_DAYS, " of days"),
            memory_limit=_bytes(values.get("ZSYNC_MEMORY_LIMIT", DEFAULT_MEMORY_LIMIT)),
        )


def _number(values: Mapping[str, str], name: str, default: int, of: str = "", least: int = 1) -> int:
    text = values.get(name, str(default))
    if not text.isdecimal() or int(text) < least:
        raise ConfigError(f"{name}: '{text}' is no number{of}, a whole number of {least} or more")
    return int(text)


def _bytes(text: str) -> int:
    found = re.fullmatch(r"\s*(\d+)\s*([KMGT]i?B)?\s*", text)
    size = int(found[1]) * _UNITS[found[2] or ""] if found else 0
    if size < LEAST_MEMORY:
        raise ConfigError(
            f"ZSYNC_MEMORY_LIMIT: '{text}' is no amount of memory of {LEAST_MEMORY >> 20}MiB or more: write it as "
            "512MiB or 2GiB"
        )
    return size
