"""Vendors' own SDKs and hash utilities against connectors and stand-ins. Skipped where they are not installed."""
