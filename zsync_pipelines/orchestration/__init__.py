"""Syncs as Dagster sees them. The only code that knows Dagster; it parses, calls a service and renders."""
