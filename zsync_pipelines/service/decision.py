"""What storing some objects means for the whole configuration: what changes, and what forbids it, if anything does."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping

from zsync_pipelines.config.references import check_references, find_warnings
from zsync_pipelines.config.yaml_catalog import LoadedFiles
from zsync_pipelines.domain.audience_groups import bases_of_groups
from zsync_pipelines.domain.catalog import Catalog, ConfigObject, ObjectKey, kind_of, stored_references_of
from zsync_pipelines.domain.config import Kind, ManagedBy, Sync, SyncStatus
from zsync_pipelines.errors import ConfigError, Problem
from zsync_pipelines.service.alert_targets import check_alert_targets
from zsync_pipelines.service.apply_report import ApplyReport, shown
from zsync_pipelines.service.bootstrap import Zsync
from zsync_pipelines.service.mapping_checks import check_mappings_online, not_asked, syncs_to_check
from zsync_pipelines.service.source_checks import SourceChecks, skipped, to_check
from zsync_pipelines.service.targets import check_mappings, check_settings, check_targets, targets_of
from zsync_pipelines.store.loaded_catalog import LoadedCatalog, body_of

_OFFLINE = {
    ManagedBy.FILES: "--offline applies without asking the sources and destinations",
    ManagedBy.API: "`?offline=true` stores it without asking the sources and destinations",
}


class Decision:
    """What storing the objects of `files` means. `refuse` raises ConfigError if it is not allowed.

    `by`: who manages what is stored; over the API, `files` is a request. `take_over`: what the API manages may come to
    be managed by files.
    """

    def __init__(
        self,
        app: Zsync,
        files: LoadedFiles,
        loaded: LoadedCatalog,
        *,
        prune: bool = False,
        take_over: bool = False,
        by: ManagedBy = ManagedBy.FILES,
    ) -> None:
        self._app, self._files, self._loaded, self._by = app, files, loaded, by
        self._take_over = take_over
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
        self._faults = list(self._problems())
        self.changed = self._changed_keys()
        self.upserts = [v for key, v in files.objects.items() if key in self.changed or key not in loaded.stored]

    @property
    def has_changes(self) -> bool:
        return bool(self.upserts or self.deletes)

    def refuse(self) -> None:
        """ConfigError if anything was found wrong."""
        if self._faults:
            raise ConfigError(self._located(self._faults))

    def unchecked(self) -> tuple[Problem, ...]:
        """What is not checked where no source and no destination is asked."""
        return self._located([*skipped(self._after, self._to_check()), *not_asked(self._syncs_to_check())])

    def ask_outside(self) -> tuple[Problem, ...]:
        """Look for faults of what changes at its sources and destinations, too; returns what could not be checked."""
        wanted = self._to_check()
        with SourceChecks(self._app.environment) as sources:
            found = sources.check(self._after, wanted)
            problems = found.problems
            if any(_owner(problem) not in self._files.files for problem in problems):
                known = [key for key in wanted if key[1] in self._before.of_kind(key[0])]
                old = set(sources.check(self._before, known).problems)
                problems = tuple(p for p in problems if _owner(p) in self._files.files or p not in old)
        offered = check_mappings_online(self._after, self._syncs_to_check(), self._app.environment)
        hint, unreachable = _OFFLINE[self._by], [*found.unreachable, *offered.unreachable]
        self._faults += [*problems, *offered.problems]
        self._faults += [Problem(p.path, f"{p.message}; {hint}") for p in unreachable]
        return self._located([*found.unchecked, *offered.unchecked])

    def _located(self, problems: Iterable[Problem]) -> tuple[Problem, ...]:
        return tuple(self._files.located(problem) for problem in problems)

    def _to_check(self) -> set[ObjectKey]:
        return to_check(self._after, [(kind_of(value), value.id) for value in self.upserts], self._faulty())

    def _syncs_to_check(self) -> list[Sync]:
        faulty = self._faulty()
        found = syncs_to_check(self._after, {(kind_of(value), value.id) for value in self.upserts})
        return [s for s in found if not {(Kind.SYNC, s.id), (Kind.DESTINATION, s.destination_id)} & faulty]

    def _faulty(self) -> set[ObjectKey]:
        return {owner for problem in self._faults if (owner := _owner(problem)) is not None}

    def report(self, unchecked: tuple[Problem, ...], *, dry_run: bool) -> ApplyReport:
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
            unchecked=unchecked,
        )

    def _problems(self) -> Iterator[Problem]:
        yield from self._files.problems
        if self._by is ManagedBy.FILES:
            yield from self._not_ours()
            yield from self._prune_problems()
        # What was wrong before, with an object that these files do not hold, is no reason to refuse them.
        found = self._checks(self._after, self._targets)
        if any(_owner(problem) not in self._files.files for problem in found):
            old = set(self._checks(self._before, targets_of(self._before, self._app.environment)))
            found = [p for p in found if _owner(p) in self._files.files or p not in old]
        yield from found

    def _not_ours(self) -> Iterator[Problem]:
        for key in self._files.files:
            if self._loaded.managed_by(*key) is ManagedBy.API and not self._take_over:
                yield Problem(
                    shown(key),
                    f"this {key[0].singular} is managed by the API; choose another id, or have the files manage it "
                    "from now on (--take-over)",
                )
            elif self._loaded.deleted.get(key) is ManagedBy.API:
                yield Problem(
                    shown(key),
                    f"a {key[0].singular} of this id was deleted over the API, and its history is kept under it; "
                    "choose another id",
                )

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
            taken_over = self._by is ManagedBy.FILES and row.managed_by is ManagedBy.API
            if keys or row.value is None or taken_over:
                changed[key] = (*keys, "managed_by") if taken_over else keys
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


def _owner(problem: Problem) -> ObjectKey | None:
    """The object that a problem's key path begins with."""
    kind, _, rest = problem.path.partition(".")
    return (Kind(kind), rest.partition(".")[0]) if kind in set(Kind) else None


def _all(catalog: Catalog) -> Collection[ConfigObject]:
    return [value for kind in Kind for value in catalog.of_kind(kind).values()]
