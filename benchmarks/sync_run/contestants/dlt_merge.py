"""dlt: its SQL source in Arrow, written by `merge`; those who left go by a DELETE against dlt's own staging table.

`merge` itself never removes what the source no longer has.
"""

from __future__ import annotations

import os
from typing import Any

import psycopg2
from measured import At, contest

os.environ["RUNTIME__DLTHUB_TELEMETRY"] = "false"
os.environ["RUNTIME__LOG_LEVEL"] = "CRITICAL"

import dlt
import sqlalchemy as sa
from dlt.sources.sql_database import sql_table


def run(at: At) -> None:
    members = sql_table(
        credentials=at.url.replace("postgresql:", "postgresql+psycopg2:"),
        table="people",
        backend="pyarrow",
        chunk_size=100_000,
        included_columns=["id", "email", "name", "score"],
        query_adapter_callback=members_only,
        write_disposition="merge",
        primary_key="id",
    )
    pipeline = dlt.pipeline(
        "people",
        pipelines_dir=str(at.folder / "dlt"),
        destination=dlt.destinations.postgres(credentials=at.url.replace("@/", ":any@localhost/")),
        dataset_name="public",
    )
    pipeline.run(members.apply_hints(table_name=at.table), loader_file_format="csv")
    connection = psycopg2.connect(at.url)
    with connection, connection.cursor() as cursor:
        staged = f"public_staging.{at.table}"
        cursor.execute(f"DELETE FROM public.{at.table} t WHERE NOT EXISTS (SELECT 1 FROM {staged} s WHERE s.id = t.id)")
    connection.close()


def members_only(query: sa.Select[Any], table: sa.Table) -> sa.Select[Any]:
    return query.where(sa.text("active"))


if __name__ == "__main__":
    contest(run, run)
