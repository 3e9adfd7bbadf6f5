"""The files under deploy/, read as what runs them would read them."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
UNITS = sorted(DEPLOY.glob("systemd/zsync*.service"))


def environment(commented: bool = False) -> dict[str, str]:
    """zsync.env.example, as systemd and compose read it; `commented`: with the settings that are commented out."""
    lines = (DEPLOY / "zsync.env.example").read_text().splitlines()
    found = {}
    for line in lines:
        match = re.fullmatch(r"(#?)([A-Z][A-Z0-9_]*)=(.*)", line)
        if match and (commented or not match[1]):
            found[match[2]] = match[3]
    return found


def command(unit: Path) -> list[str]:
    """The words of a unit's ExecStart."""
    (line,) = re.findall(r"^ExecStart=(.*)$", unit.read_text(), re.MULTILINE)
    return shlex.split(line)


def elsewhere(words: list[str], places: dict[str, str]) -> list[str]:
    """The words with paths and ports of another place; each must occur, or the files have changed."""
    text = "\0".join(words)
    for written, instead in places.items():
        if written in text:
            text = text.replace(written, instead)
    return text.split("\0")
