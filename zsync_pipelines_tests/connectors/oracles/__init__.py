"""Vendors' own packages: they make the digests that ours must equal, and drive the stand-ins (`make oracles`)."""
