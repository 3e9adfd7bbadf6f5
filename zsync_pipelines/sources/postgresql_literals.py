"""Parameters written into a PostgreSQL statement as literals, for the one command that takes none (COPY).

The server quotes the values and names their types, so no value can end its literal. What is decided here is only where
they go; text in which that could be mistaken (it has backslashes, dollar quotes, nested comments) is left as it is.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

_TOKEN = re.compile(
    r"""
      "(?:[^"]|"")*" | '(?:[^'\\]|'')*'                   # a name, a text
    | --[^\r\n]* | /\*[^*/]*\*/                          # a comment
    | (?<=[\s(]) \$ (?P<number>[0-9]+) (?=[\s),:]|\Z)     # a parameter
    | (?P<doubtful> ["'$\\] | /\* )
    | [^"'$\\/-]+ | [/-]
    """,
    re.VERBOSE,
)


def with_literals(sql: str, literals: Sequence[str]) -> str | None:
    """`sql` with each `$n` replaced by the literal of that number, from 1. None if that is not beyond doubt."""
    parts = []
    for token in _TOKEN.finditer(sql):
        number = token["number"]
        if token["doubtful"] is not None or (number is not None and not 1 <= int(number) <= len(literals)):
            return None
        parts.append(token[0] if number is None else literals[int(number) - 1])
    return "".join(parts)


def quoting(count: int) -> str:
    """A statement whose only value is the array of its parameters as literals, each of the type that it is bound as."""
    quoted = (f"concat('CAST(', quote_literal(${n}), ' AS ', pg_typeof(${n}), ')')" for n in range(1, count + 1))
    return f"SELECT ARRAY[{', '.join(quoted)}]"
