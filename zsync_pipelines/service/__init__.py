"""What zsync does: runs, plans, history and management. Faces (Dagster, REST, command line) call these functions."""
