"""What the user of the URL must be allowed to do, checked without doing it."""

from __future__ import annotations

from zsync_pipelines.destinations.sql.backend import Backend
from zsync_pipelines.destinations.sql.records import ADOPTED, RECEIPTS
from zsync_pipelines.destinations.sql.settings import SqlSettings
from zsync_pipelines.destinations.sql.values import Place
from zsync_pipelines.errors import CredentialsError


def check_rights(db: Backend, place: Place, settings: SqlSettings) -> str:
    """A line that says that all is well. CredentialsError naming what is missing."""
    ours = {place.beside(RECEIPTS): ["DELETE"], place.beside(ADOPTED): ["DELETE"]}
    needed = {place: [] if settings.flags else ["DELETE"], **ours}
    exists = db.connect(writing=False)
    if exists and not db.can_stage():
        raise CredentialsError(
            f"{db.describe_self()}: this user may not create temporary tables; grant that right there"
        )
    for table, more in needed.items():
        if not exists or db.describe(table) is None:
            if not db.can_create(place.schema):
                raise CredentialsError(
                    f"{db.describe_self()}: this user may not create table {table}; "
                    f"grant CREATE on schema '{place.schema}', or create the table"
                )
            continue
        missing = db.missing_rights(table, ["SELECT", "INSERT", "UPDATE", *more])
        if missing:
            raise CredentialsError(
                f"{db.describe_self()}: this user lacks {', '.join(missing)} on table {table}; grant it"
            )
    return "rows can be read, added, changed and removed"
