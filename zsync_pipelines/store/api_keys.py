"""Keys of the REST API: ids, scopes and a hash of the secret part, which itself is stored nowhere."""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa

from zsync_pipelines.domain.actor import Actor
from zsync_pipelines.domain.api_key import ApiKey, Scope
from zsync_pipelines.domain.run import utc_text
from zsync_pipelines.store.audit import AuditStore
from zsync_pipelines.store.database import insert_into, writing
from zsync_pipelines.store.tables import api_keys

KIND = "api_keys"
"""Of entries of the audit log; their object is the key's name."""


class ApiKeyStore:
    """Reads and writes keys. A key is revoked, never deleted: its name stays in the audit log, and stays its own."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def add(self, key: ApiKey, hashed: str, actor: Actor) -> bool:
        """Store a new key; False, and nothing is stored, if its name was given before."""
        values = {name: getattr(key, name) for name in ("id", "name", "created_at", "expires_at")}
        insert = insert_into(self._engine, api_keys).values(hash=hashed, scopes=list(key.scopes), **values)
        once = insert.on_conflict_do_nothing(index_elements=["name"]).returning(api_keys.c.id)
        with writing(self._engine) as connection:
            added = connection.execute(once).first() is not None
            if added:
                after = {"id": key.id, "scopes": list(key.scopes), "expires_at": utc_text(key.expires_at)}
                AuditStore.record(connection, key.created_at, actor, "create", KIND, key.name, after=after)
            return added

    def revoke(self, name: str, at: datetime, actor: Actor) -> None:
        """End a key for good. One that is revoked already, or was never there, stays as it is."""
        where = (api_keys.c.name == name, api_keys.c.revoked_at.is_(None))
        with writing(self._engine) as connection:
            if connection.execute(sa.update(api_keys).where(*where).values(revoked_at=at)).rowcount:
                AuditStore.record(connection, at, actor, "revoke", KIND, name)

    def find(self, key_id: str) -> tuple[ApiKey, str] | None:
        """A key by its id, and the hash of its secret."""
        with self._engine.connect() as connection:
            row = connection.execute(sa.select(api_keys).where(api_keys.c.id == key_id)).mappings().first()
            return None if row is None else (_key(row), row["hash"])

    def all(self) -> list[ApiKey]:
        """Every key there ever was, by name."""
        with self._engine.connect() as connection:
            return [_key(row) for row in connection.execute(sa.select(api_keys).order_by(api_keys.c.name)).mappings()]

    def used(self, key_id: str, at: datetime) -> None:
        """Note that a key was used; an older moment changes nothing."""
        last = api_keys.c.last_used_at
        newer = sa.update(api_keys).where(api_keys.c.id == key_id, sa.or_(last.is_(None), last < at))
        with writing(self._engine) as connection:
            connection.execute(newer.values(last_used_at=at))


def _key(row: sa.RowMapping) -> ApiKey:
    known = {name: row[name] for name in ("id", "name", "created_at", "expires_at", "revoked_at", "last_used_at")}
    return ApiKey(scopes=tuple(Scope(scope) for scope in row["scopes"]), **known)
