"""The `sql` destination: a table in a database."""

from zsync_pipelines.destinations.sql.connector import SqlDestination

__all__ = ["SqlDestination"]
