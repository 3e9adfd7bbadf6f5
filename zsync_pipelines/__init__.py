"""zsync: audience sync on Dagster. Public names of the core; nothing here imports Dagster."""

from __future__ import annotations

import os

__version__ = "0.1.0"

# Read by polars and Arrow when they are loaded (`zsync_pipelines.store.allocators` says what for): free pages go back
# to the system after 0.1 s, all the way (jemalloc(3), TUNING), and Arrow has no pool of its own.
os.environ.setdefault("_RJEM_MALLOC_CONF", "narenas:4,dirty_decay_ms:100,muzzy_decay_ms:0,tcache_max:1024")
os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
