"""Vendors' own code beside ours: where it installs, it drives the same stand-ins. Skipped where it is not installed."""
