"""zsync: one sync with a filter and three fields, run by the engine without Dagster."""

from __future__ import annotations

from measured import At, contest

import zsync_pipelines.destinations.sql.postgresql
import zsync_pipelines.sources.postgresql_reader  # noqa: F401  # drivers are imported when used: not in the seconds
from zsync_pipelines.domain.run import RunStatus
from zsync_pipelines.service.apply import apply_paths
from zsync_pipelines.service.bootstrap import Zsync, open_zsync
from zsync_pipelines.service.run_sync import run_sync

CONFIG = """
sources: {{shop: {{url: "{url}"}}}}
models: {{people: {{source: shop, table: people, entity_key: id}}}}
audiences:
  everybody:
    model: people
    filter_tree: {{type: condition, condition_type: property, column: active, operator: is_true}}
destinations: {{crm: {{type: sql, config: {{url: "{url}", table: {table}}}}}}}
syncs:
  people_to_crm:
    audience: everybody
    destination: crm
    sync_mode: mirror
    field_mapping:
      - {{source_column: email, destination_field: email}}
      - {{source_column: name, destination_field: name}}
      - {{source_column: score, destination_field: score}}
"""


def opened(at: At) -> Zsync:
    return open_zsync({"ZSYNC_HOME": str(at.folder / "home")})


def configure(at: At) -> None:
    file = at.folder / "config.yaml"
    file.write_text(CONFIG.format(url=at.url, table=at.table))
    apply_paths(opened(at), [file])


def run(at: At) -> None:
    ended = run_sync(opened(at), "people_to_crm")
    if ended.status is not RunStatus.SUCCESS:
        raise SystemExit(ended.error)


if __name__ == "__main__":
    contest(run, run, before=configure)
