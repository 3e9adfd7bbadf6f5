"""What the REST API takes for an answer: `python -m benchmarks.api`."""
