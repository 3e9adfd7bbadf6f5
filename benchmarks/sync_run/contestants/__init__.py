"""One script per contestant, run by its path in a process (and virtual environment) of its own."""
