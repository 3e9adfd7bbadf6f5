"""The demo: real purchases, replayed week by week through every mode and destination. `zsync demo` runs it."""
