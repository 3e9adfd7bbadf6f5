"""What steps of a Dagster run hand over: small JSON references, kept per run.

Keyed by run, unlike Dagster's default (keyed by asset): re-executing the delivery of an old run loads that run's diff,
whose snapshot version is then found to be stale, instead of some newer run's.
"""

from __future__ import annotations

import json
from typing import Any

import dagster as dg

from zsync_pipelines.service.bootstrap import Zsync

_KEPT_RUNS = 10


class ReferenceIO(dg.IOManager):
    """Stores each output as `references/<sync id>/<Dagster run id>/<asset>.json` in zsync's storage."""

    def __init__(self, app: Zsync) -> None:
        self._app = app

    def handle_output(self, context: dg.OutputContext, obj: dict[str, Any] | None) -> None:
        if obj is None:  # the last asset of a sync hands nothing on
            return
        path = _path(context)
        with self._app.storage.replace(path) as stream:
            stream.write(json.dumps(obj).encode())
        folder = path.rsplit("/", 2)[0]
        for run_id in self._app.storage.oldest_folders(folder, keep=_KEPT_RUNS):
            self._app.storage.delete_folder(f"{folder}/{run_id}")

    def load_input(self, context: dg.InputContext) -> dict[str, Any]:
        upstream = context.upstream_output
        assert upstream is not None  # noqa: S101  # every input of ours is an asset's output
        try:
            with self._app.storage.open(_path(upstream)) as stream:
                found: dict[str, Any] = json.load(stream)
        except FileNotFoundError:
            raise dg.Failure(
                f"what '{upstream.asset_key.to_user_string()}' made in that run is no longer kept: run the whole sync",
                allow_retries=False,
            ) from None
        return found


def _path(context: dg.OutputContext) -> str:
    sync_id, asset = context.asset_key.path
    return f"references/{sync_id}/{context.run_id}/{asset}.json"
