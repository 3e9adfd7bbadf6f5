"""The diff beside its floor, one pass over both sides, and beside what people would otherwise use."""
