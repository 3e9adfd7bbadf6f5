"""`python -m zsync_pipelines` is `zsync`, also where the console script is not on the path."""

from zsync_pipelines.cli.main import main

main()
