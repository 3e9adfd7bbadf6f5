"""Values and pure decisions of zsync. Nothing here does I/O or knows of Dagster."""
