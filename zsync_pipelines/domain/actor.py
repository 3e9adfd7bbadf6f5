"""Who does something: for the audit log, and for the tags of the runs that they start."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Actor:
    """`kind` is `api-key`, `cli` or `files` (configuration files that a code location applies); `name` is whose."""

    kind: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind}:{self.name}" if self.name else self.kind

    @classmethod
    def parse(cls, text: str) -> Actor:
        """The inverse of `str`."""
        kind, _, name = text.partition(":")
        return cls(kind, name)


FILES = Actor("files", "")
"""Whoever applies configuration files without saying who they are: a code location that loads."""
