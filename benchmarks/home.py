"""A zsync home with one sync from the people in a DuckDB file to a destination that accepts everything at once.

The destination is a connector of the benchmarks, so that runs cost what zsync costs and nothing else.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from importlib.abc import MetaPathFinder
from pathlib import Path

import yaml

from benchmarks.people import FIELDS
from zsync_pipelines.destinations import registry
from zsync_pipelines.domain.capabilities import Capabilities
from zsync_pipelines.domain.delivery import Batch, Op, Receipt
from zsync_pipelines.domain.destination import CheckStatus, CheckStep, Destination, DestinationSettings, SyncShape
from zsync_pipelines.service.apply import apply_paths
from zsync_pipelines.service.bootstrap import Zsync, open_zsync

SYNC = "people"
_BATCH_ROWS = 100_000


class Accepting(Destination[DestinationSettings]):
    """Accepts every batch and keeps nothing."""

    type = "accepting"
    settings_type = DestinationSettings
    capabilities = Capabilities(operations=frozenset(Op), max_batch_rows=_BATCH_ROWS)

    @classmethod
    def target(cls, settings: DestinationSettings, sync_id: str) -> Mapping[str, str]:
        return {}

    def check(self) -> Iterator[CheckStep]:
        yield CheckStep("connect", CheckStatus.OK)

    def open(self, shape: SyncShape, run_id: str) -> None:
        return

    def send(self, batch: Batch) -> Receipt:
        return batch.accept_all()


class _NoPandas(MetaPathFinder):
    """Lets pandas not be found."""

    def find_spec(self, fullname: str, path: object, target: object = None) -> None:
        if fullname == "pandas":
            raise ModuleNotFoundError(name=fullname)


def open_home(folder: Path) -> Zsync:
    """The home in this folder, with the default memory limit; the connector is known from here on."""
    # Pyarrow imports pandas where it is installed, as for the peers; zsync comes without it.
    sys.meta_path.insert(0, _NoPandas())
    registry.BUILT_IN.setdefault(Accepting.type, f"{__name__}:{Accepting.__name__}")
    return open_zsync({"ZSYNC_HOME": str(folder)})


def read_from(app: Zsync, database: str, query: str) -> None:
    """Have the sync read this query from now on."""
    everybody = {"type": "condition", "condition_type": "property", "column": "score", "operator": "is_not_null"}
    config = {
        "sources": {"shop": {"url": f"duckdb:///{database}"}},
        "models": {"people": {"source": "shop", "query": query, "entity_key": "id"}},
        "audiences": {"everybody": {"model": "people", "filter_tree": everybody}},
        "destinations": {"there": {"type": Accepting.type, "config": {}}},
        "syncs": {
            SYNC: {
                "audience": "everybody",
                "destination": "there",
                "sync_mode": "mirror",
                "field_mapping": [{"source_column": name, "destination_field": name} for name in FIELDS],
            }
        },
    }
    file = app.settings.home / "config.yaml"
    file.write_text(yaml.safe_dump(config))
    apply_paths(app, [file])
