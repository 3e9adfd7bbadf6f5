"""What applying configuration files did, for people and as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from zsync_pipelines.domain.catalog import ObjectKey
from zsync_pipelines.errors import Problem


@dataclass(frozen=True, slots=True)
class ApplyReport:
    """What applying files did, or (`dry_run`) would do.

    `changed` maps an object to the keys that differ. `left`: file-managed objects that the files no longer hold and
    that stay without `--prune`. `unchecked`: sources that were not asked about the changes, and why.
    """

    created: tuple[ObjectKey, ...]
    changed: Mapping[ObjectKey, tuple[str, ...]]
    unchanged: tuple[ObjectKey, ...]
    deleted: tuple[ObjectKey, ...]
    left: tuple[ObjectKey, ...]
    warnings: tuple[Problem, ...]
    notes: tuple[str, ...]
    dry_run: bool
    unchecked: tuple[Problem, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """As users see it; an object is written `syncs.vip`."""
        return {
            "created": [shown(key) for key in self.created],
            "changed": {shown(key): list(keys) for key, keys in self.changed.items()},
            "unchanged": [shown(key) for key in self.unchanged],
            "deleted": [shown(key) for key in self.deleted],
            "left": [shown(key) for key in self.left],
            "warnings": _as_json(self.warnings),
            "unchecked": _as_json(self.unchecked),
            "notes": list(self.notes),
            "dry_run": self.dry_run,
        }


def shown(key: ObjectKey) -> str:
    """An object as messages name it: `syncs.vip`."""
    return f"{key[0].value}.{key[1]}"


def _as_json(problems: Sequence[Problem]) -> list[dict[str, Any]]:
    return [{"file": problem.file, "path": problem.path, "message": problem.message} for problem in problems]
