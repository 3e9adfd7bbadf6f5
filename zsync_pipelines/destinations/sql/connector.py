"""The `sql` connector: a batch and its receipt are one transaction at the destination, or planned where none can be."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from importlib import import_module

from zsync_pipelines.destinations.sql.apply import Applier
from zsync_pipelines.destinations.sql.backend import Backend
from zsync_pipelines.destinations.sql.records import Records
from zsync_pipelines.destinations.sql.rights import check_rights
from zsync_pipelines.destinations.sql.settings import SqlSettings, is_default, split_table, target_of
from zsync_pipelines.destinations.sql.shape import Target
from zsync_pipelines.destinations.sql.values import Place, Table
from zsync_pipelines.domain.capabilities import Capabilities, TargetFields
from zsync_pipelines.domain.delivery import Batch, Op, Receipt
from zsync_pipelines.domain.destination import CheckStatus, CheckStep, Destination, SyncShape
from zsync_pipelines.errors import ConfigError, DestinationError, OutcomeUnknownError, TryAgainError, UnreachableError

BATCH_ROWS = 100_000


class SqlDestination(Destination[SqlSettings]):
    """A table in SQLite, DuckDB, PostgreSQL, MySQL, MariaDB, Snowflake, BigQuery, Redshift or Databricks."""

    type = "sql"
    settings_type = SqlSettings
    capabilities = Capabilities(operations=frozenset(Op), max_batch_rows=BATCH_ROWS, keeps_receipts=True)

    def __init__(self, settings: SqlSettings) -> None:
        super().__init__(settings)
        url = settings.parsed_url()
        self._db = _backend(url.get_backend_name())(url)
        self._place = Place(*split_table(settings.table, url))
        self._target = Target(self._db, settings, self._place)
        self._records = Records(self._db, self._place)
        self._applier: Applier | None = None

    @classmethod
    def target(cls, settings: SqlSettings, sync_id: str) -> Mapping[str, str]:
        return target_of(settings)

    def check(self) -> Iterator[CheckStep]:
        steps = {"connect": self._check_connect, "table": self._check_table, "permission": self._check_permission}
        for name, step in steps.items():
            try:
                with self._explained():
                    detail = step()
            except DestinationError as error:
                yield CheckStep(name, CheckStatus.FAILED, str(error))
                return
            yield CheckStep(name, CheckStatus.OK, detail)

    def fields(self, shape: SyncShape) -> TargetFields:
        key_column = self._key_column(shape)
        self._target.check_names(shape, key_column)
        with self._explained():
            table = self._existing()
        if table is None:
            return self._target.fields_when_made(shape)
        return self._target.fields_of(table, shape, key_column)

    def open(self, shape: SyncShape, run_id: str) -> None:
        key_column = self._key_column(shape)
        self._target.check_names(shape, key_column)
        with self._explained():
            self._existing()  # before a file is made
        with self._explained(), self._db.transaction():
            self._records.prepare()
            keyed = True
            if self._db.describe(self._place) is None:
                self._db.execute(self._target.definition(shape, key_column))
                keyed = not self._db.keys_later
                if not keyed:
                    self._records.owe_key((shape.sync_id, run_id), key_column)
            elif self._db.keys_later:  # a first run died, or is under way: its next rows then go the way of all others
                self._records.pay_key()
            table = self._described()
        if table is None:
            raise self._target.missing()
        self._target.check_flag(table)
        self._target.check_key(table, key_column)
        self._applier = Applier(
            db=self._db,
            records=self._records,
            place=self._place,
            table=table,
            key_column=key_column,
            flags=self.settings.flags,
            adopt=self.settings.adopt,
            keyed=keyed,
        )

    def send(self, batch: Batch) -> Receipt:
        if self._applier is None:
            raise DestinationError("the connector was not opened before a batch was sent; this is a bug in zsync")
        try:
            with self._db.transaction():
                receipt = self._records.find(batch)
                if receipt is None:
                    receipt = self._apply(self._applier, batch)
                    self._records.store(batch, receipt)
        except self._db.errors as error:
            refusal = self._db.refusal(error)
            if refusal is not None:
                return batch.reject_all(refusal.told(batch.fields), permanent=refusal.permanent)
            found = self._db.explain(error)
        except UnreachableError as error:
            found = error
        except _AppliedError as applied:
            return applied.receipt
        else:
            return receipt
        if isinstance(found, UnreachableError):
            if not self._db.atomic:
                raise OutcomeUnknownError(str(found)) from None
            raise TryAgainError(str(found)) from None  # the transaction is gone with the connection
        raise found from None

    def complete(self) -> None:
        if self._applier is not None and not self._applier.keyed:
            with self._explained(), self._db.transaction():
                self._records.pay_key()

    def _apply(self, applier: Applier, batch: Batch) -> Receipt:
        """Apply a batch. Where rows and receipt cannot be one transaction, the receipt is written before the rows too,
        as a plan; a batch with a plan is carried out (again) by it, which changes nothing that is done already."""
        if self._db.atomic and self._db.locks:
            return applier.apply(batch)
        if self._db.atomic:
            return applier.apply(batch, lambda receipt: self._check_applied(batch, receipt))
        planned = self._records.find(batch, planned=True)
        if planned is None:
            return applier.apply(batch, lambda receipt: self._records.store(batch, receipt, planned=True))
        applier.repeat(batch, planned)
        return planned

    def _check_applied(self, batch: Batch, receipt: Receipt) -> None:
        """Where nothing waits for a transaction that is just applying a batch, it may have ended meanwhile: then rows
        that exist are of the batch itself."""
        found = self._records.find(batch) if receipt.exceptions else None
        if found is not None:
            raise _AppliedError(found)

    def lookup(self, batch: Batch) -> Receipt | None:
        never = batch.never_arrived()
        with self._explained():
            if not self._db.connect(writing=False) or not self._records.exist():
                return never
            with self._db.reading():
                found = self._records.find(batch)
                if found is None and not self._db.atomic and self._records.find(batch, planned=True):
                    return None  # begun: whether its rows got in is not known
                return found or never

    def close(self) -> None:
        self._db.close()

    def _key_column(self, shape: SyncShape) -> str:
        return self.settings.key_column or shape.key_name

    def _existing(self) -> Table | None:
        """The table, or None if it is to be made. TargetMissingError if it can be neither."""
        exists = self._db.connect(writing=False)
        table = self._described() if exists else None
        if table is not None:
            return table
        backend = self._db.url.get_backend_name()
        if not (self._db.schema_exists(self._place.schema) if exists else is_default(self._place.schema, backend)):
            raise self._target.missing_schema()
        if not self.settings.create_table:
            raise self._target.missing()
        return None

    def _described(self) -> Table | None:
        """The table, with the key that it is to have."""
        table = self._db.describe(self._place)
        if table is None or table.unique or not self._db.keys_later:
            return table
        owed = self._records.owed_key() if self._records.exist() else None
        return replace(table, unique=frozenset({owed})) if owed else table

    def _check_connect(self) -> str:
        exists = self._db.connect(writing=False)
        return self._db.describe_self() + ("" if exists else ", which the first run creates")

    def _check_table(self) -> str:
        table = self._existing()
        if table is None:
            return f"the first run creates table {self._place}"
        self._target.check_flag(table)
        if self.settings.key_column is not None:
            self._target.check_key(table, self.settings.key_column)
        return f"table {self._place} is there"

    def _check_permission(self) -> str:
        return check_rights(self._db, self._place, self.settings)

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Turn the driver's errors into ours, which never hold a value of a row."""
        try:
            yield
        except self._db.errors as error:
            refusal = self._db.refusal(error)
            if refusal is not None:
                raise DestinationError(f"{self._db.describe_self()}: {refusal.reason}") from None
            raise self._db.explain(error) from None


class _AppliedError(Exception):
    """A batch was applied by an earlier try."""

    def __init__(self, receipt: Receipt) -> None:
        super().__init__()
        self.receipt = receipt


# Named, not imported: drivers are heavy and partly extras.
_BACKENDS: Mapping[str, str] = {
    "sqlite": "sqlite:SQLiteBackend",
    "duckdb": "duckdb:DuckDBBackend",
    "postgresql": "postgresql:PostgreSQLBackend",
    "mysql": "mysql:MySQLBackend",
    "mariadb": "mysql:MySQLBackend",
    "snowflake": "snowflake:SnowflakeBackend",
    "redshift": "redshift:RedshiftBackend",
    "bigquery": "bigquery:BigQueryBackend",
    "databricks": "databricks:DatabricksBackend",
}
_EXTRAS = {"postgresql": "postgres", "mariadb": "mysql"}


def _backend(name: str) -> type[Backend]:
    """The database's implementation."""
    module, _, backend = _BACKENDS[name].partition(":")
    try:
        found: type[Backend] = getattr(import_module(f"zsync_pipelines.destinations.sql.{module}"), backend)
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"the driver of {name} is not installed ({error.name}); "
            f"pip install 'zsync-pipelines[{_EXTRAS.get(name, name)}]'"
        ) from None
    return found
