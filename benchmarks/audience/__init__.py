"""Audiences beside SQL and exports written by hand; see `benchmarks.audience.__main__`."""
