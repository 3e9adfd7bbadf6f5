"""zsync: audience sync on Dagster. Public names of the core; nothing here imports Dagster."""

from __future__ import annotations

__version__ = "0.1.0"
