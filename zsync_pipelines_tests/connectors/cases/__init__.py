"""One module per connector, each with `CASES`: how the suites run it against its stand-in."""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules

from zsync_pipelines_tests.connectors.case import ConnectorCase

CASES: list[ConnectorCase] = [
    case
    for module in sorted(iter_modules(__path__), key=lambda module: module.name)
    for case in import_module(f"{__name__}.{module.name}").CASES
]
