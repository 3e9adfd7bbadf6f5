"""Names that the `file` destination gives to files, and how what a dead run left is told by them."""

from __future__ import annotations

import re
from collections.abc import Collection

MANIFEST = "manifest.json"
REWRITE = ".rewrite"
"""Beside a file of members: the next run must write it again, whatever it has to send."""

_OURS = re.compile(r"((adds|updates|removes|members)\.(csv|jsonl|parquet)(\.narrow|\.old)?|\.?manifest\.json)")


def staging_folder(run_id: str) -> str:
    """The hidden folder, beside those of the runs, in which a run makes its files ready."""
    return f".{run_id}.tmp"


def is_leftover(folder: str, names: Collection[str]) -> bool:
    """Whether a folder without a manifest, that holds these names, was left by a dead run. What is not ours stays."""
    staged = folder.startswith(".") and folder.endswith(".tmp")
    return bool(names or staged) and all(_OURS.fullmatch(name) for name in names)
