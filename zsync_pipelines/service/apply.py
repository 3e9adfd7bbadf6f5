"""Apply configuration files: everything is checked together, and then stored together or not at all."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zsync_pipelines.config.references import check_references, find_warnings
from zsync_pipelines.config.yaml_catalog import LoadedFiles, load_files
from zsync_pipelines.domain.config import (
    Audience,
    Catalog,
    ConfigObject,
    Kind,
    ManagedBy,
    ObjectKey,
    Sync,
    SyncStatus,
    bases_of_groups,
    kind_of,
    stored_references_of,
)
from zsync_pipelines.domain.schedule import ON_EVALUATION
from zsync_pipelines.errors import ConfigError, Problem
from zsync_pipelines.service.alert_targets import check_alert_targets
from zsync_pipelines.service.bootstrap import Zsync
from zsync_pipelines.service.targets import check_mappings, check_settings, check_targets, targets_of
from zsync_pipelines.store.catalog import LoadedCatalog, body_of


@dataclass(frozen=True, slots=True)
class ApplyReport:
    """What applying files did, or (`dry_run`) would do.

    `changed` maps an object to the keys that differ. `left`: file-managed objects that the files no longer hold and
    that stay without `--prune`.
    """

    created: tuple[ObjectKey, ...]
    changed: Mapping[ObjectKey, tuple[str, ...]]
    unchanged: tuple[ObjectKey, ...]
    deleted: tuple[ObjectKey, ...]
    left: tuple[ObjectKey, ...]
    warnings: tuple[Problem, ...]
    notes: tuple[str, ...]
    dry_run: bool

    def to_json(self) -> dict[str, Any]:
        """As users see it; an object is written `syncs.vip`."""
        return {
            "created": [shown(key) for key in self.created],
            "changed": {shown(key): list(keys) for key, keys in self.changed.items()},
            "unchanged": [shown(key) for key in self.unchanged],
            "deleted": [shown(key) for key in self.deleted],
            "left": [shown(key) for key in self.left],
            "warnings": [{"file": p.file, "path": p.path, "message": p.message} for p in self.warnings],
            "notes": list(self.notes),
            "dry_run": self.dry_run,
        }


def shown(key: ObjectKey) -> str:
    """An object as messages name it: `syncs.vip`."""
    return f"{key[0].value}.{key[1]}"


def apply_paths(app: Zsync, paths: Sequence[Path], *, prune: bool = False, dry_run: bool = False) -> ApplyReport:
    """Validate files and folders and store what they hold. All or nothing.

    `prune` also deletes file-managed objects that the files no longer hold. Raises ConfigError with every fault.
    """
    files = load_files(paths)
    decision = _Decision(app, files, app.catalog.load(), prune)
    if not dry_run and decision.has_changes:
        with app.catalog.editing() as edit:  # decide again: somebody may have written meanwhile
            decision = _Decision(app, files, edit.loaded, prune)
            edit.save(decision.upserts, decision.deletes, ManagedBy.FILES, app.clock())
    return decision.report(dry_run=dry_run)


class _Decision:
    """What applying `files` to the stored configuration means. Raises ConfigError if it is not allowed."""

    def __init__(self, app: Zsync, files: LoadedFiles, loaded: LoadedCatalog, prune: bool) -> None:
        self._app, self._files, self._loaded = app, files, loaded
        stored = {key: row.value for key, row in loaded.stored.items() if row.value is not None}
        gone = tuple(
            key for key, row in loaded.stored.items() if row.managed_by is ManagedBy.FILES and key not in files.files
        )
        self.deletes: tuple[ObjectKey, ...] = gone if prune else ()
        self.left: tuple[ObjectKey, ...] = () if prune else gone
        kept = {key: value for key, value in stored.items() if key not in self.deletes}
        self._before = Catalog.of(stored)
        self._after = Catalog.of({**kept, **files.objects})
        self._targets = targets_of(self._after, app.environment)
        problems = [files.located(problem) for problem in self._problems()]
        if problems:
            raise ConfigError(problems)
        self.changed = self._changed_keys()
        self.upserts = [v for key, v in files.objects.items() if key in self.changed or key not in loaded.stored]

    @property
    def has_changes(self) -> bool:
        return bool(self.upserts or self.deletes)

    def report(self, *, dry_run: bool) -> ApplyReport:
        keys = tuple(self._files.objects)
        warnings = find_warnings(self._after, self._app.clock())
        return ApplyReport(
            created=tuple(key for key in keys if key not in self._loaded.stored),
            changed=self.changed,
            unchanged=tuple(key for key in keys if key in self._loaded.stored and key not in self.changed),
            deleted=self.deletes,
            left=self.left,
            warnings=tuple(self._files.located(w) for w in warnings if _owner(w) in self._files.objects),
            notes=tuple(self._notes()),
            dry_run=dry_run,
        )

    def _problems(self) -> Iterator[Problem]:
        yield from self._files.problems
        for key in self._files.files:
            if self._loaded.managed_by(*key) is ManagedBy.API:
                yield Problem(
                    shown(key), f"this {key[0].singular} is managed by the API; delete it there, or choose another id"
                )
        yield from self._prune_problems()
        # What was wrong before, with an object that these files do not hold, is no reason to refuse them.
        found = self._checks(self._after, self._targets)
        if any(_owner(problem) not in self._files.files for problem in found):
            old = set(self._checks(self._before, targets_of(self._before, self._app.environment)))
            found = [p for p in found if _owner(p) in self._files.files or p not in old]
        yield from found

    def _checks(self, catalog: Catalog, targets: Mapping[str, Mapping[str, str]]) -> list[Problem]:
        existing = {*self._files.files, *self._loaded.stored}
        known = {kind: [id_ for k, id_ in existing if k is kind] for kind in Kind}
        environment = self._app.environment
        return [
            *check_references(catalog, known),
            *check_settings(catalog, environment),
            *check_mappings(catalog, environment),
            *check_targets(targets),
            *check_alert_targets(catalog),
        ]

    def _prune_problems(self) -> Iterator[Problem]:
        deletes, groups = set(self.deletes), bases_of_groups(self._before.audiences)
        for user in _all(self._after):
            for key in dict.fromkeys(stored_references_of(user, groups)):
                if key in deletes:
                    who = f"{kind_of(user).singular} '{user.id}'"
                    by_api = self._loaded.managed_by(kind_of(user), user.id) is ManagedBy.API
                    managed = ", which the API manages," if by_api else ""
                    yield Problem(shown(key), f"--prune would delete it, but {who}{managed} uses it")

    def _changed_keys(self) -> dict[ObjectKey, tuple[str, ...]]:
        changed: dict[ObjectKey, tuple[str, ...]] = {}
        for key, value in self._files.objects.items():
            row = self._loaded.stored.get(key)
            if row is None:
                continue
            old, new = row.body if row.value is None else body_of(row.value), body_of(value)
            keys = tuple(name for name in sorted({*old, *new}) if old.get(name) != new.get(name))
            if keys or row.value is None:
                changed[key] = keys
        return changed

    def _notes(self) -> Iterator[str]:
        before = targets_of(self._before, self._app.environment)
        for sync_id, target in self._targets.items():
            if sync_id in before and before[sync_id] != target:
                yield (
                    f"sync '{sync_id}': its target changed; the next run starts afresh as a first run, "
                    "and the old list is left alone"
                )
        for kind, object_id in (*self.changed, *self.deletes):
            if kind is not Kind.SYNC:
                continue
            if (kind, object_id) in self.deletes:
                yield f"sync '{object_id}' is deleted; what it put at its destination is left alone"
            elif self._loaded.overrides.get(object_id) is SyncStatus.PAUSED:
                yield f"sync '{object_id}' stays paused by an operator; `zsync resume {object_id}` ends that"
        for key in [*self.changed, *(k for k in self._files.objects if k not in self._loaded.stored)]:
            yield from _not_acted_upon(self._files.objects[key])


def _not_acted_upon(value: ConfigObject) -> Iterator[str]:
    """Settings that are kept and have no effect yet; nobody should count on them."""
    if isinstance(value, Audience) and value.evaluation_schedule is not None:
        yield f"audience '{value.id}': evaluation_schedule has no effect yet; every sync run evaluates it"
    if isinstance(value, Sync) and value.schedule == ON_EVALUATION:
        yield f"sync '{value.id}': schedule on_evaluation has no effect yet; run it by hand or give it a cron"


def _owner(problem: Problem) -> ObjectKey | None:
    """The object that a problem's key path begins with."""
    kind, _, rest = problem.path.partition(".")
    return (Kind(kind), rest.partition(".")[0]) if kind in set(Kind) else None


def _all(catalog: Catalog) -> Collection[ConfigObject]:
    return [value for kind in Kind for value in catalog.of_kind(kind).values()]
