"""SQL text with its parameters apart from it, as native drivers take them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa


@dataclass(frozen=True, slots=True)
class Statement:
    """SQL of one dialect, and its parameters in the order of their placeholders. No value is part of the text."""

    sql: str
    parameters: tuple[Any, ...] = ()

    def __str__(self) -> str:
        """For people to read: the SQL, then each parameter as a comment."""
        listed = (f"-- parameter {number}: {value!r}" for number, value in enumerate(self.parameters, start=1))
        lines = (line.rstrip() for line in self.sql.splitlines())
        return "\n".join([*lines, *listed])


def render(select: sa.Select[Any], dialect: sa.Dialect) -> Statement:
    """A statement in a dialect, whose placeholders must be positional or numbered."""
    compiled = select.compile(dialect=dialect, compile_kwargs={"render_postcompile": True})
    names, values = compiled.positiontup or [], compiled.params
    return Statement(str(compiled), tuple(values[name] for name in names))
