"""Tables and lines for people: rich on a terminal, plain aligned text when piped."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from unicodedata import category

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

_PIPED_WIDTH = 100_000
"""Wide enough that nothing wraps: whoever reads a pipe splits lines."""
_STYLES = {
    "success": "green",
    "ok": "green",
    "active": "green",
    "partial_failure": "yellow",
    "paused": "yellow",
    "held": "yellow",
    "error": "red",
    "failed": "red",
    "broken": "red",
}


def say(text: str, style: str | None = None) -> None:
    """One line on stdout."""
    _console().print(Text(clean(text), style=style or ""), soft_wrap=True)


def warn(text: str) -> None:
    """One line on stderr."""
    console = Console(stderr=True, highlight=False)
    console.print(Text(clean(text), style="yellow"), soft_wrap=True)


def table(columns: Sequence[str], rows: Sequence[Sequence[object]], numbers: Sequence[str] = ()) -> None:
    """A table on stdout; `numbers` names the columns that are aligned to the right."""
    console = _console()
    if console.is_terminal:
        shown = Table(box=SIMPLE_HEAD, pad_edge=False)
    else:
        shown = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name in columns:
        shown.add_column(name, justify="right" if name in numbers else "left", overflow="fold")
    for row in rows:
        shown.add_row(*(_cell(value) for value in row))
    console.print(shown)


@contextmanager
def progress(what: str) -> Iterator[Callable[[str, int, int | None], None]]:
    """A spinner on stderr while something takes long; nothing where nobody watches.

    Gives a function to call with what is being done, how much of it is done and of how much (None: not known).
    """
    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda step, done, total: None
        return
    with console.status(Text(clean(what))) as status:

        def watch(step: str, done: int, total: int | None) -> None:
            of = f" of {total:,}" if total is not None else ""
            status.update(Text(clean(f"{what}: {done:,}{of} {step}")))

        yield watch


def moment(value: datetime | str | None) -> str:
    """A time, or its ISO text, in UTC to the second; or a dash."""
    if value is None:
        return "-"
    found = datetime.fromisoformat(value) if isinstance(value, str) else value
    return found.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def clean(text: str) -> str:
    """Text without control characters, which could steer a terminal: keys and reasons come from outside."""
    return "".join(c if c in "\n\t" or category(c) not in ("Cc", "Cs") else f"\\x{ord(c):02x}" for c in text)


def _cell(value: object) -> Text:
    text = "-" if value is None else f"{value:,}" if type(value) is int else str(value)
    return Text(clean(text.replace("\n", " ")), style=_STYLES.get(text, ""))


def _console() -> Console:
    width = None if sys.stdout.isatty() else _PIPED_WIDTH
    return Console(file=sys.stdout, width=width, highlight=False)
