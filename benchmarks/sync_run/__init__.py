"""Whole runs from PostgreSQL to PostgreSQL beside what people use instead; see `benchmarks.sync_run.__main__`."""
