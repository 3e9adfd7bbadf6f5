"""Create, replace and delete one object of the configuration, as the REST API does.

Each is decided and stored in one transaction: of two at once the second sees what the first did. Whoever reads an
object and sends it back may name the revision that was read, so that nobody's change is lost.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from typing import Any

import sqlalchemy as sa
from pydantic import ValidationError

from zsync_pipelines.config.environment import references
from zsync_pipelines.config.faults import problems_of
from zsync_pipelines.config.yaml_catalog import LoadedFiles, reference_faults
from zsync_pipelines.domain.actor import Actor
from zsync_pipelines.domain.audience_groups import bases_of_groups
from zsync_pipelines.domain.catalog import TYPES, ConfigObject, kind_of, stored_references_of
from zsync_pipelines.domain.config import Kind, ManagedBy, Source, Sync, SyncStatus
from zsync_pipelines.domain.naming import id_from_name
from zsync_pipelines.errors import ConfigError, ConflictError, Problem, StaleRevisionError
from zsync_pipelines.service.api_rules import api_faults
from zsync_pipelines.service.bootstrap import Zsync
from zsync_pipelines.service.decision import Decision
from zsync_pipelines.service.manage import pause, require, resume
from zsync_pipelines.service.object_views import ObjectView, view_of
from zsync_pipelines.store.loaded_catalog import LoadedCatalog

READ_ONLY = ("created_at", "updated_at", "managed_by", "broken", "last_synced_at", "last_run_id")
"""Keys that answers have and requests may repeat; they change nothing."""
_REFERENCES = ("source", "model", "audience", "destination")


def create_object(
    app: Zsync, kind: Kind, body: Mapping[str, Any], actor: Actor, *, offline: bool = False
) -> ObjectView:
    """Store a new object; without an `id` it gets one made from its name.

    ConflictError if the id is or was taken, ConfigError with every other fault, by key paths within `body`. Its source
    is asked about it unless `offline`.
    """
    given = _own_keys(body)
    while True:
        loaded = app.catalog.load()
        object_id = given["id"] if "id" in given else _new_id(kind, given, loaded)
        _check_free(loaded, kind, object_id)
        value = _parse(app, kind, object_id, given)
        _decide(app, value, loaded, offline=offline)
        with app.catalog.editing() as edit:
            if "id" not in given and _is_taken(edit.loaded, kind, object_id):
                continue  # somebody was given it meanwhile
            _check_free(edit.loaded, kind, object_id)
            _decide(app, value, edit.loaded)
            edit.save([value], [], ManagedBy.API, app.clock(), actor)
        return _stored(app, kind, object_id)


def replace_object(
    app: Zsync,
    kind: Kind,
    object_id: str,
    body: Mapping[str, Any],
    actor: Actor,
    *,
    revisions: Collection[int] | None = None,
    offline: bool = False,
) -> ObjectView:
    """Store `body`, which is the whole object, in place of what is stored.

    NotFoundError, StaleRevisionError if it is at none of `revisions`, ConfigError with every fault. What files manage
    is refused (ConflictError), but for a sync's `status`: it is paused or resumed, as by an operator.
    """
    given = _own_keys(body)
    if given.setdefault("id", object_id) != object_id:
        raise ConfigError([Problem("id", f"is not that of the address, '{object_id}'; an id does not change")])
    loaded = app.catalog.load()
    _check_present(loaded, kind, object_id, revisions)
    if kind is Kind.SYNC:  # a request that says nothing of it must not resume what somebody paused
        given.setdefault("status", loaded.status(object_id).value)
    if loaded.managed_by(kind, object_id) is ManagedBy.FILES:
        return _set_status(app, loaded, kind, object_id, given, actor)
    value = _parse(app, kind, object_id, given)
    _decide(app, value, loaded, offline=offline)
    with app.catalog.editing() as edit:
        _check_present(edit.loaded, kind, object_id, revisions)
        _check_managed(edit.loaded, kind, object_id)
        if _decide(app, value, edit.loaded).has_changes:
            edit.save([value], [], ManagedBy.API, app.clock(), actor)
        if isinstance(value, Sync):  # what the request says of its status is the last word
            edit.end_override(value, app.clock(), actor)
    return _stored(app, kind, object_id)


def delete_object(
    app: Zsync, kind: Kind, object_id: str, actor: Actor, *, revisions: Collection[int] | None = None
) -> None:
    """Delete an object; its id is not given out again. NotFoundError, StaleRevisionError; ConflictError if others use
    it or files manage it, LeaseHeldError while a run of the sync is queued or under way."""
    with app.catalog.editing() as edit:
        _check_present(edit.loaded, kind, object_id, revisions)
        _check_managed(edit.loaded, kind, object_id)
        check_unused(edit.loaded, kind, object_id)
        edit.save([], [(kind, object_id)], ManagedBy.API, app.clock(), actor)


def check_editable(app: Zsync, kind: Kind, object_id: str, revisions: Collection[int] | None) -> None:
    """Raise what `delete_object` would raise for who manages it and what its revision is."""
    loaded = app.catalog.load()
    _check_present(loaded, kind, object_id, revisions)
    _check_managed(loaded, kind, object_id)


def check_unused(loaded: LoadedCatalog, kind: Kind, object_id: str) -> None:
    """ConflictError, naming the users, if other objects refer to this one."""
    values = [row.value for row in loaded.stored.values() if row.value is not None]
    groups = bases_of_groups(loaded.catalog.audiences)
    users = [
        f"{kind_of(value).singular} '{value.id}'"
        for value in values
        if (kind, object_id) in set(stored_references_of(value, groups))
        and (kind_of(value), value.id) != (kind, object_id)
    ]
    if users:
        raise ConflictError(
            f"{kind.singular} '{object_id}' is used by {', '.join(sorted(users))}; delete or change that first"
        )


def _own_keys(body: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in body.items() if name not in READ_ONLY}


def _new_id(kind: Kind, given: Mapping[str, Any], loaded: LoadedCatalog) -> str:
    name = given.get("name")
    if not isinstance(name, str) or not name:
        raise ConfigError([Problem("id", "is missing; give it, or a name to make it from")])
    taken = {object_id for known, object_id in (*loaded.stored, *loaded.deleted) if known is kind}
    return id_from_name(name, taken, kind.singular)


def _is_taken(loaded: LoadedCatalog, kind: Kind, object_id: Any) -> bool:
    return (kind, object_id) in loaded.stored or (kind, object_id) in loaded.deleted


def _check_free(loaded: LoadedCatalog, kind: Kind, object_id: Any) -> None:
    if not isinstance(object_id, str):
        return  # a fault that validation names
    if (kind, object_id) in loaded.stored:
        raise ConflictError(f"there is {_one(kind)} '{object_id}' already; choose another id, or PUT to change it")
    if (kind, object_id) in loaded.deleted:
        raise ConflictError(f"{_one(kind)} '{object_id}' was deleted, and ids are not given out again; choose another")


def _one(kind: Kind) -> str:
    return f"{'an' if kind is Kind.AUDIENCE else 'a'} {kind.singular}"


def _check_present(loaded: LoadedCatalog, kind: Kind, object_id: str, revisions: Collection[int] | None) -> None:
    require(loaded, kind, object_id)
    current = loaded.stored[kind, object_id].revision
    if revisions is not None and current not in revisions:
        raise StaleRevisionError(
            f"{kind.singular} '{object_id}' was changed since it was read; GET it again and repeat the change"
        )


def _check_managed(loaded: LoadedCatalog, kind: Kind, object_id: str) -> None:
    if loaded.managed_by(kind, object_id) is ManagedBy.FILES:
        raise ConflictError(_by_files(kind, object_id))


def _by_files(kind: Kind, object_id: str) -> str:
    return f"{kind.singular} '{object_id}' is managed by files: change it there, and apply them (`zsync apply`)"


def _parse(app: Zsync, kind: Kind, object_id: Any, given: Mapping[str, Any]) -> ConfigObject:
    cls = TYPES[kind]
    try:
        value = cls.model_validate({**given, "id": object_id})
    except ValidationError as error:
        raise ConfigError([_named(kind, given, problem) for problem in problems_of(error, cls)]) from None
    faults = [*reference_faults(value), *api_faults(app, value), *_address_faults(value)]
    if faults:
        raise ConfigError([_named(kind, given, _within(value, problem)) for problem in faults])
    return value


def _address_faults(value: ConfigObject) -> Iterator[Problem]:
    """A source is asked where something uses it; until then its url is at least one, unless that is elsewhere."""
    if isinstance(value, Source) and not references(value.url):
        try:
            sa.make_url(value.url)
        except sa.exc.ArgumentError:
            yield Problem("url", "is no SQLAlchemy URL, such as postgresql://user@host/database")


def _decide(app: Zsync, value: ConfigObject, loaded: LoadedCatalog, *, offline: bool = True) -> Decision:
    """ConfigError unless the object goes with the rest of the configuration, and its source has what it names."""
    key = (kind_of(value), value.id)
    decision = Decision(app, LoadedFiles({key: value}, {key: ""}, ()), loaded, by=ManagedBy.API)
    if not offline:
        decision.ask_outside()
    try:
        decision.refuse()
    except ConfigError as error:
        raise ConfigError([_named(key[0], {}, _within(value, problem)) for problem in error.problems]) from None
    return decision


def _within(value: ConfigObject, problem: Problem) -> Problem:
    """A problem of this object by its key path in the request; one of another object keeps the whole path."""
    path = problem.path.removeprefix(f"{kind_of(value).value}.{value.id}").removeprefix(".")
    return Problem(path, problem.message)


def _named(kind: Kind, given: Mapping[str, Any], problem: Problem) -> Problem:
    """Files write `audience` where requests write `audience_id`."""
    first, dot, rest = problem.path.partition(".")
    names = TYPES[kind].model_fields
    if first in _REFERENCES and first not in given and f"{first}_id" in names:
        return replace(problem, path=f"{first}_id{dot}{rest}")
    return problem


def _set_status(
    app: Zsync, loaded: LoadedCatalog, kind: Kind, object_id: str, given: Mapping[str, Any], actor: Actor
) -> ObjectView:
    """The one thing that may be changed of what files manage."""
    shown = view_of(loaded, kind, object_id)
    differ = {*_differing(kind, shown.body, given)}
    if differ - ({"status"} if kind is Kind.SYNC else set()):
        more = "; over the API only its `status` can be changed" if kind is Kind.SYNC else ""
        raise ConflictError(_by_files(kind, object_id) + more)
    if differ:
        try:
            wanted = SyncStatus(given["status"])
        except ValueError:
            allowed = ", ".join(SyncStatus)
            raise ConfigError([Problem("status", f"is not allowed; allowed: {allowed}")]) from None
        (pause if wanted is SyncStatus.PAUSED else resume)(app, object_id, actor)
    return _stored(app, kind, object_id)


def _differing(kind: Kind, shown: Mapping[str, Any], given: Mapping[str, Any]) -> Iterator[str]:
    """Keys whose values in a request are not those that an answer shows; a key left out counts as its default."""
    try:
        full = TYPES[kind].model_validate(given).model_dump(mode="json")
    except ValidationError:
        full = dict(given)
    for name in {*shown, *full}:
        if full.get(name) != shown.get(name):
            yield name


def _stored(app: Zsync, kind: Kind, object_id: str) -> ObjectView:
    return view_of(app.catalog.load(), kind, object_id)
