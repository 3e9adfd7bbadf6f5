"""Where this installation lives: paths and URLs from the environment (docs/reference.md, "Environment")."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from zsync_pipelines.errors import ConfigError

DEFAULT_HOME = ".zsync"
DEFAULT_API_ENV = "ZSYNC_SECRET_*"
DEFAULT_DAGSTER_URL = "http://127.0.0.1:3000"
DEFAULT_KEEP_DELIVERIES_DAYS = 90
DEFAULT_KEEP_EVALUATIONS = 10


@dataclass(frozen=True, slots=True)
class Settings:
    """Resolved settings. `home` is absolute; the URLs may hold passwords and so stay out of the repr.

    `keep_deliveries_days`: how long refused rows and the delivery ledger of older runs are kept. `keep_evaluations`: of
    how many evaluations of an audience the members are kept (two at least: a run may be about to read the one before).
    """

    home: Path
    database_url: str = field(repr=False)
    storage_url: str = field(repr=False)
    config_paths: tuple[Path, ...] = ()
    api_env: str = DEFAULT_API_ENV
    dagster_url: str = DEFAULT_DAGSTER_URL
    keep_deliveries_days: int = DEFAULT_KEEP_DELIVERIES_DAYS
    keep_evaluations: int = DEFAULT_KEEP_EVALUATIONS

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
        )


def _number(values: Mapping[str, str], name: str, default: int, of: str = "", least: int = 1) -> int:
    text = values.get(name, str(default))
    if not text.isdecimal() or int(text) < least:
        raise ConfigError(f"{name}: '{text}' is no number{of}, a whole number of {least} or more")
    return int(text)
