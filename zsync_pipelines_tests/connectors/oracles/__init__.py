"""Vendors' own SDKs against the connectors and their stand-ins, in virtual environments of their own."""
