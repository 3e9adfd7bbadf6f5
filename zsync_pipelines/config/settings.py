"""Where this installation lives: paths and URLs from the environment (docs/reference.md, "Environment")."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

DEFAULT_HOME = ".zsync"
DEFAULT_API_ENV = "ZSYNC_SECRET_*"
DEFAULT_DAGSTER_URL = "http://127.0.0.1:3000"


@dataclass(frozen=True, slots=True)
class Settings:
    """Resolved settings. `home` is absolute; the URLs may hold passwords and so stay out of the repr."""

    home: Path
    database_url: str = field(repr=False)
    storage_url: str = field(repr=False)
    config_paths: tuple[Path, ...] = ()
    api_env: str = DEFAULT_API_ENV
    dagster_url: str = DEFAULT_DAGSTER_URL

    @classmethod
    def from_env(cls, env: Mapping[str, str] | None = None) -> Settings:
        """Read the `ZSYNC_*` variables; an empty one counts as unset."""
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
        )
