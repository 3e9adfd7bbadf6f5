"""Connectors: what turns a batch into rows of a table, lines of a file or requests. `registry` finds them by type."""
