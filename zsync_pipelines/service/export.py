"""Write configuration that the API manages as the YAML that files hold."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from pydantic import AliasChoices, BaseModel

from zsync_pipelines.domain.catalog import TYPES, ObjectKey
from zsync_pipelines.domain.config import Kind, ManagedBy
from zsync_pipelines.service.bootstrap import Zsync
from zsync_pipelines.service.masked_config import masked_object
from zsync_pipelines.store.loaded_catalog import LoadedCatalog


@dataclass(frozen=True, slots=True)
class Export:
    """Configuration as a file holds it: kinds to ids to objects. `masked` and `broken`: objects of which a secret is
    left out, or that zsync cannot read any more; their YAML must be mended before it can be applied."""

    document: dict[str, dict[str, dict[str, Any]]]
    masked: tuple[ObjectKey, ...]
    broken: tuple[ObjectKey, ...]

    def to_yaml(self) -> str:
        """One YAML document; an empty one where there is nothing."""
        import yaml

        class Dumper(yaml.SafeDumper):
            """Quotes what may look like a number: `1e3` is text to this library, and a number where it is read."""

            def ignore_aliases(self, data: object) -> bool:
                return True

        def text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
            style = "'" if value[:1] in "+-.0123456789" else None
            return dumper.represent_scalar("tag:yaml.org,2002:str", value, style)

        Dumper.add_representer(str, text)
        return yaml.dump(self.document, None, Dumper, sort_keys=False, allow_unicode=True, width=120)


def export_configuration(app: Zsync, kinds: Collection[Kind] = tuple(Kind)) -> Export:
    """What the API manages, of some kinds. A sync that an operator paused or resumed is written as it stands."""
    loaded = app.catalog.load()
    keys = [
        key
        for kind in Kind
        if kind in kinds
        for key, row in loaded.stored.items()
        if key[0] is kind and row.managed_by is ManagedBy.API
    ]
    document: dict[str, dict[str, dict[str, Any]]] = {}
    masked = []
    for kind, object_id in keys:
        shown = masked_object(loaded, (kind, object_id))
        if shown != loaded.stored[kind, object_id].body:
            masked.append((kind, object_id))
        written = _as_written(TYPES[kind], shown) | _status(loaded, (kind, object_id))
        document.setdefault(kind.value, {})[object_id] = written
    return Export(document, tuple(masked), tuple(key for key in keys if loaded.stored[key].value is None))


def _as_written(kind: type[BaseModel], body: dict[str, Any]) -> dict[str, Any]:
    """The keys as YAML writes them: `audience` for `audience_id`."""
    names = {}
    for name, field in kind.model_fields.items():
        alias = field.validation_alias
        names[name] = str(alias.choices[0]) if isinstance(alias, AliasChoices) else name
    order = {name: place for place, name in enumerate(names)}
    return {names.get(key, key): body[key] for key in sorted(body, key=lambda key: order.get(key, len(order)))}


def _status(loaded: LoadedCatalog, key: ObjectKey) -> dict[str, Any]:
    if key[0] is not Kind.SYNC or key[1] not in loaded.overrides:
        return {}
    return {"status": loaded.overrides[key[1]].value}
