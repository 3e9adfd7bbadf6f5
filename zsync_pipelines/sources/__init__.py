"""Reading audiences: a filter tree becomes one SQL statement inside the source, and its result Arrow batches."""
