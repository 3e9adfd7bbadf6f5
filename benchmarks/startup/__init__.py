"""What it costs to start: a run with nothing to do, the command line, and loading definitions."""
