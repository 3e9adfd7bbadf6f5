"""Names that users, scripts and dashboards rely on. A change here is a breaking change."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime

from zsync_pipelines import errors
from zsync_pipelines.cli.main import cli
from zsync_pipelines.config.settings import Settings
from zsync_pipelines.destinations.registry import connector, known_types
from zsync_pipelines.domain.config import Audience, Destination, Guard, Model, Source, Sync, SyncMode
from zsync_pipelines.domain.filters import OPERATORS_BY_KIND, ColumnKind, EventOperator
from zsync_pipelines.domain.run import RunOptions, RunStatus, SyncRun, Trigger
from zsync_pipelines.domain.schedule import WORDS


def words(text: str) -> set[str]:
    return set(text.split())


def fields(model) -> set[str]:
    return set(model.model_fields)


def test_configuration_keys():
    assert fields(Source) == {"id", "url"}
    assert fields(Model) == {"id", "source_id", "table", "query", "entity_key", "timezone", "events", "traits"}
    assert fields(Audience) >= {
        "id", "name", "model_id", "filter_tree", "evaluation_schedule", "timezone", "max_age", "alerts",
        "max_size_change_percent", "max_size_change_rows",
    }  # fmt: skip
    assert fields(Destination) >= {"id", "name", "type", "config"}
    assert fields(Sync) >= {
        "id", "name", "audience_id", "destination_id", "sync_mode", "field_mapping", "schedule", "timezone", "status",
        "guard", "alerts", "max_attempts", "config",
    }  # fmt: skip
    assert Guard().model_dump() == {
        "max_removed_percent": 20, "max_removed_rows": 100, "allow_empty": False,
        "max_added_percent": 200, "max_added_rows": 10_000,
    }  # fmt: skip


def test_words():
    assert {mode.value for mode in SyncMode} == {"mirror", "additive", "subtractive"}
    assert {status.value for status in RunStatus} == {
        "queued", "running", "success", "partial_failure", "error", "cancelled", "skipped",
    }  # fmt: skip
    assert {trigger.value for trigger in Trigger} == {"schedule", "manual", "api", "sensor"}
    assert set(WORDS) == {"every_15_minutes", "hourly", "daily", "weekly"}
    assert {operator.value for operator in EventOperator} == {"at_least", "at_most", "exactly"}
    assert {o.value for o in OPERATORS_BY_KIND[ColumnKind.STRING]} == words(
        "equals not_equals contains not_contains starts_with not_starts_with ends_with "
        "not_ends_with in not_in is_null is_not_null"
    )
    assert {o.value for o in OPERATORS_BY_KIND[ColumnKind.NUMBER]} == words(
        "equals not_equals greater_than greater_than_or_equal less_than less_than_or_equal between "
        "not_between in not_in is_null is_not_null"
    )
    assert {o.value for o in OPERATORS_BY_KIND[ColumnKind.BOOLEAN]} == words(
        "equals not_equals is_true is_false is_null is_not_null"
    )
    assert {o.value for o in OPERATORS_BY_KIND[ColumnKind.DATE]} == words(
        "equals not_equals greater_than greater_than_or_equal less_than less_than_or_equal between "
        "not_between is_null is_not_null within_last_days not_within_last_days"
    )


def test_environment():
    found = Settings.from_env({"ZSYNC_HOME": "/x", "ZSYNC_DATABASE_URL": "sqlite:///y", "ZSYNC_STORAGE_URL": "z"})
    assert (str(found.home), found.database_url, found.storage_url) == ("/x", "sqlite:///y", "z")
    default = Settings.from_env({})
    assert default.home.name == ".zsync"
    assert (default.api_env, default.dagster_url) == ("ZSYNC_SECRET_*", "http://127.0.0.1:3000")


def test_commands():
    assert set(cli.list_commands(None)) >= {
        "demo", "apply", "list", "plan", "run", "runs", "rejections", "explain", "pause", "resume", "cancel", "delete",
        "check", "alert-test", "audience", "history", "members",
    }  # fmt: skip
    assert set(cli.get_command(None, "audience").list_commands(None)) >= {"list", "estimate", "preview", "sql"}
    assert {option for parameter in cli.params for option in parameter.opts} >= {"--api-url", "--api-key-file"}
    run = cli.get_command(None, "run")
    assert {option for parameter in run.params for option in parameter.opts} >= {
        "--as-of", "--allow-older", "--full-resync", "--rebaseline", "--allow-removals", "--allow-additions", "--json",
    }  # fmt: skip


def test_a_run_as_json():
    now = datetime(2024, 1, 1, tzinfo=UTC)
    run = SyncRun("r", "s", RunStatus.SUCCESS, Trigger.MANUAL, RunOptions(), now, now, now, now)
    assert set(run.to_json()) == words(
        "id sync_id status trigger as_of started_at finished_at duration_seconds rows_added "
        "rows_removed rows_updated rows_failed rows_invalid rows_unconfirmed rows_pending "
        "rows_parked rows_held members snapshot_version error dagster_run_id"
    )
    assert run.to_json()["as_of"] == "2024-01-01T00:00:00Z"


def test_destination_types_and_their_settings():
    assert set(known_types()) >= {"sql", "file", "webhook"}
    assert fields(connector("sql").settings_type) == {
        "url", "table", "key_column", "on_remove", "create_table", "adopt",
    }  # fmt: skip
    assert fields(connector("webhook").settings_type) == words(
        "url secret headers max_batch_rows max_in_flight max_requests_per_second timeout_seconds"
    )
    assert fields(connector("file").settings_type) == {"url", "format", "layout", "options"}


def test_errors_end_in_error_and_are_all_in_the_tree():
    found = [value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, Exception)]
    assert all(error.__name__.endswith("Error") and error.__name__ in errors.__doc__ for error in found)
    assert all(issubclass(error, errors.ZsyncError) for error in found)


def test_the_core_does_not_import_dagster():
    code = (
        "import sys, zsync_pipelines.service.run_sync, zsync_pipelines.service.plan, zsync_pipelines.service.history;"
        "sys.exit('dagster' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
