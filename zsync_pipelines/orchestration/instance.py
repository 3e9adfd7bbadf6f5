"""Which of Dagster's instances is ours: one folder, for the UI, the schedules and runs from the shell alike."""

from __future__ import annotations

import json
import os
from pathlib import Path

from zsync_pipelines.config.settings import Settings
from zsync_pipelines.errors import ConfigError

_OWN_INSTANCE = """\
telemetry: {{enabled: false}}
storage: {{sqlite: {{base_dir: {storage}}}}}
concurrency:
  runs:
    max_concurrent_runs: 4
    tag_concurrency_limits: [{{key: zsync/sync_id, limit: 1, value: {{applyLimitPerUniqueValue: true}}}}]
run_monitoring: {{enabled: true, poll_interval_seconds: 30, start_timeout_seconds: 120, max_runtime_seconds: 86400}}
retention:
  schedule: {{purge_after_days: 30}}
  sensor: {{purge_after_days: {{skipped: 1, failure: 30, success: 7}}}}
"""


def dagster_home(settings: Settings) -> Path:
    """`DAGSTER_HOME`; else this folder, if it has a dagster.yaml; else one in `ZSYNC_HOME`, which is made.

    With `DAGSTER_HOME` set to it, Dagster's own commands use the same instance. ConfigError if it cannot be used.
    """
    named = os.environ.get("DAGSTER_HOME")
    if named:
        home = Path(named)
        if not home.is_absolute() or not home.is_dir():
            raise ConfigError(f"DAGSTER_HOME: '{named}' is no folder that exists, with its absolute path")
        return home
    if Path("dagster.yaml").is_file():
        return Path.cwd()
    home = settings.home / "dagster"
    file = home / "dagster.yaml"
    try:
        home.mkdir(parents=True, exist_ok=True)
        _write(file, _OWN_INSTANCE.format(storage=json.dumps(str(home / "storage"))))
    except OSError as error:
        raise ConfigError(f"ZSYNC_HOME: {file} cannot be written: {error.strerror}") from None
    return home


def _write(file: Path, text: str) -> None:
    """Put the text there at once; whoever reads it meanwhile sees all of it, before or after."""
    if file.is_file() and file.read_text() == text:
        return
    new = file.with_name(f"{file.name}.{os.getpid()}")
    new.write_text(text)
    new.replace(file)
