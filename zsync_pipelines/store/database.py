"""The control database: SQLite by default, PostgreSQL in production. Opening it brings its tables up to date."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import sqlalchemy as sa

from zsync_pipelines.errors import ConfigError, StorageError

_MIGRATIONS = Path(__file__).parent / "migrations"
_MIGRATION_LOCK = 7_263_114_001
"""Any constant will do; it only must be the same in every zsync process of one PostgreSQL database."""
_SQLITE_BUSY_SECONDS = 60
_LOCK_SECONDS = 60
"""How long a statement waits for another process's lock, in PostgreSQL."""
_MOST_CONNECTIONS = 40
"""Of one process: as many as the threads that serve requests of the REST API. Few processes have more than one."""
_IDLE_SECONDS = 20
"""How long a process may do nothing within a transaction. One that is stopped there must not keep its locks, or nobody
could take its lease over. Shorter than a lease."""


def open_database(url: str) -> sa.Engine:
    """Connect and migrate. ConfigError for a URL that is none, StorageError when the database cannot be opened."""
    try:
        parsed = sa.make_url(url)
        engine = _sqlite(parsed) if parsed.get_backend_name() == "sqlite" else _postgresql(parsed)
    except (sa.exc.ArgumentError, ModuleNotFoundError) as error:
        raise ConfigError(f"ZSYNC_DATABASE_URL: {_explain(error)}") from None
    try:
        _migrate(engine)
    except (sa.exc.DBAPIError, OSError) as error:
        reason = str(error.orig) if isinstance(error, sa.exc.DBAPIError) else str(error)
        shown = parsed.render_as_string(hide_password=True)
        raise StorageError(f"the control database {shown} cannot be opened: {reason.strip()}") from error
    sa.event.listen(engine, "handle_error", _as_storage_error)
    return engine


def _as_storage_error(context: sa.engine.ExceptionContext) -> None:
    """A database that went away, or does not answer, is no bug of whoever asked it."""
    if not isinstance(context.original_exception, Exception):
        return  # somebody stops this process: it looks like a disconnect, and is none
    gone = isinstance(context.sqlalchemy_exception, sa.exc.OperationalError | sa.exc.InterfaceError)
    if gone or context.is_disconnect:
        reason = str(context.original_exception).strip()  # SQLAlchemy's own text would repeat the parameters
        raise StorageError(f"the control database failed: {reason}") from context.original_exception


def _driver(url: sa.URL) -> sa.URL:
    """`postgresql://` means psycopg 3, the driver that zsync installs."""
    return url.set(drivername="postgresql+psycopg") if url.drivername in ("postgresql", "postgres") else url


def _explain(error: Exception) -> str:
    if isinstance(error, ModuleNotFoundError):
        return f"its driver is not installed ({error.name}); pip install 'zsync-pipelines[postgres]'"
    return "no SQLAlchemy URL; use sqlite:///path or postgresql://user:password@host/database"


def _sqlite(url: sa.URL) -> sa.Engine:
    if url.database and url.database != ":memory:":
        Path(url.database).parent.mkdir(parents=True, exist_ok=True)
    engine = sa.create_engine(url, connect_args={"timeout": _SQLITE_BUSY_SECONDS}, max_overflow=-1)

    @sa.event.listens_for(engine, "connect")
    def _configure(connection: Any, _: Any) -> None:
        connection.isolation_level = None  # transactions are opened below; the driver would open them too late
        cursor = connection.cursor()
        cursor.execute("PRAGMA journal_mode=WAL")
        cursor.execute("PRAGMA synchronous=FULL")  # a receipt that was written must survive a power cut
        cursor.execute("PRAGMA foreign_keys=ON")
        cursor.close()

    @sa.event.listens_for(engine, "begin")
    def _begin(connection: sa.Connection) -> None:
        # Take the write lock at once: a read that upgrades later fails under contention instead of waiting.
        connection.exec_driver_sql("BEGIN IMMEDIATE" if connection.get_execution_options().get("write") else "BEGIN")

    return engine


def _postgresql(url: sa.URL) -> sa.Engine:
    engine = sa.create_engine(_driver(url), max_overflow=_MOST_CONNECTIONS - 5)

    @sa.event.listens_for(engine, "connect")
    def _configure(connection: Any, _: Any) -> None:
        with connection.cursor() as cursor:
            cursor.execute(f"SET lock_timeout = '{_LOCK_SECONDS}s'")
            cursor.execute(f"SET idle_in_transaction_session_timeout = '{_IDLE_SECONDS}s'")
        connection.commit()

    return engine


def _migrate(engine: sa.Engine) -> None:
    """Run the migrations that are missing; processes that start together wait for one another."""
    with engine.connect() as connection:
        if _is_current(connection):
            return
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    with writing(engine) as connection:
        if engine.dialect.name == "postgresql":
            connection.execute(sa.text("SELECT pg_advisory_xact_lock(:key)"), {"key": _MIGRATION_LOCK})
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def _is_current(connection: sa.Connection) -> bool:
    """Whether the last migration was run. Alembic is not asked: its import takes longer than all else here.

    StorageError if the tables are of a version that this one does not know.
    """
    if not sa.inspect(connection).has_table("alembic_version"):
        return False
    found: str | None = connection.scalar(sa.text("SELECT version_num FROM alembic_version"))
    if found is not None and found not in _revisions():
        shown = connection.engine.url.render_as_string(hide_password=True)
        raise StorageError(
            f"the control database {shown} has revision '{found}', and this version of zsync knows up to "
            f"'{newest_revision()}': a newer version has migrated it (upgrade, or restore a backup), or it is another "
            "program's (ZSYNC_DATABASE_URL; Dagster needs a database of its own)"
        )
    return found == newest_revision()


def newest_revision() -> str:
    """The revision of the last migration."""
    return max(_revisions())


def _revisions() -> set[str]:
    """Those that there are: what the names of their files begin with."""
    return {path.stem.partition("_")[0] for path in _MIGRATIONS.glob("versions/[0-9]*.py")}


def insert_into(connection: sa.Connection | sa.Engine, table: sa.Table) -> Any:
    """An INSERT that knows ON CONFLICT, in the database's own dialect; the other is not imported."""
    if connection.dialect.name == "postgresql":
        from sqlalchemy.dialects.postgresql import insert as postgresql_insert

        return postgresql_insert(table)
    from sqlalchemy.dialects.sqlite import insert as sqlite_insert

    return sqlite_insert(table)


def writing(engine: sa.Engine) -> Any:
    """A transaction that writes: `with writing(engine) as connection`."""
    return engine.execution_options(write=True).begin()
