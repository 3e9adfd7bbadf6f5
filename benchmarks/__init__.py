"""Measurements, as commands. Compare ratios within one run only: absolute times move with the machine."""

import zsync_pipelines  # noqa: F401  # before polars and Arrow, as in a process of zsync: it sets their allocators
