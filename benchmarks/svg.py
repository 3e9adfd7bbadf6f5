"""Log-log panels as SVG text: axes with labels, lines with marks, a legend. The same text for the same lines.

A panel has a ground of its own, light or dark as the reader prefers, so that it is readable on any page.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

WIDTH = 430
_LEFT, _RIGHT, _TOP, _PLOT, _UNDER, _LEGEND_LINE = 62, 16, 40, 250, 52, 17
_COLOURS = (
    "#2f81f7",
    "#d2691e",
    "#2a9d5c",
    "#b34fc5",
    "#c0392b",
    "#8a7a00",
    "#00848c",
    "#77828c",
    "#d1477a",
    "#5f6fd0",
)
_DASHES = ("", "6 3", "2 3")
_STYLE = """<style>
text { font: 12px ui-sans-serif, system-ui, sans-serif; fill: #24292f }
.title { font-weight: 600; font-size: 14px }
.ground { fill: #ffffff } .grid { stroke: #d0d7de } .frame { stroke: #6e7781 }
@media (prefers-color-scheme: dark) {
text { fill: #d1d7e0 } .ground { fill: #151b23 } .grid { stroke: #343b44 } .frame { stroke: #9198a1 } }
</style>"""


@dataclass(frozen=True)
class Line:
    """Points by size; both numbers are positive. `limit`: a goal, drawn without marks."""

    name: str
    points: tuple[tuple[float, float], ...]
    limit: bool = False


@dataclass(frozen=True)
class Panel:
    """`x`, `y`: what the axes show."""

    title: str
    x: str
    y: str
    lines: tuple[Line, ...]


def draw(panels: Sequence[Panel]) -> str:
    """The panels side by side."""
    legend = max((len(panel.lines) for panel in panels), default=0) * _LEGEND_LINE
    width, height = WIDTH * len(panels), _TOP + _PLOT + _UNDER + legend + 10
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img">',
        f"<title>{escape('; '.join(panel.title for panel in panels))}</title>",
        _STYLE,
        f'<rect class="ground" width="{width}" height="{height}" rx="6"/>',
    ]
    for number, panel in enumerate(panels):
        parts += [f'<g transform="translate({number * WIDTH} 0)">', *_panel(panel), "</g>"]
    return "\n".join([*parts, "</svg>"]) + "\n"


def thousands(value: float) -> str:
    """1k, 10M."""
    for size, letter in ((1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:g}{letter}"
    return f"{value:g}"


def _panel(panel: Panel) -> list[str]:
    points = [point for line in panel.lines for point in line.points]
    x, y = (_Scale.of([point[axis] for point in points], axis) for axis in (0, 1))
    right, bottom = WIDTH - _RIGHT, _TOP + _PLOT
    parts = [f'<text class="title" x="{_LEFT}" y="24">{escape(panel.title)}</text>']
    for tick in x.ticks():
        at = _number(x.place(tick))
        parts.append(f'<path class="grid" d="M{at} {_TOP}V{bottom}"/>')
        parts.append(f'<text x="{at}" y="{bottom + 17}" text-anchor="middle">{thousands(tick)}</text>')
    for tick in y.ticks():
        at, below = _number(y.place(tick)), _number(y.place(tick) + 4)
        parts.append(f'<path class="grid" d="M{_LEFT} {at}H{right}"/>')
        parts.append(f'<text x="{_LEFT - 6}" y="{below}" text-anchor="end">{thousands(tick)}</text>')
    middle, centre = (_LEFT + right) // 2, _TOP + _PLOT // 2
    parts += [
        f'<path class="frame" fill="none" d="M{_LEFT} {_TOP}V{bottom}H{right}"/>',
        f'<text x="{middle}" y="{bottom + 36}" text-anchor="middle">{escape(panel.x)}</text>',
        f'<text transform="translate(14 {centre}) rotate(-90)" text-anchor="middle">{escape(panel.y)}</text>',
    ]
    for number, line in enumerate(panel.lines):
        parts += _line(line, number, x, y, bottom + _UNDER + number * _LEGEND_LINE)
    return parts


def _line(line: Line, number: int, x: _Scale, y: _Scale, legend: int) -> list[str]:
    colour = _COLOURS[number % len(_COLOURS)]
    dash = _DASHES[2] if line.limit else _DASHES[number // 4 % 2]
    stroke = f'fill="none" stroke="{colour}" stroke-width="2" stroke-dasharray="{dash}"'
    places = [(_number(x.place(a)), _number(y.place(b))) for a, b in line.points]
    parts = [f'<path {stroke} d="M{"L".join(f"{a} {b}" for a, b in places)}"/>']
    if not line.limit:
        parts += [f'<circle cx="{a}" cy="{b}" r="3" fill="{colour}"/>' for a, b in places]
    parts.append(f'<path {stroke} d="M{_LEFT} {legend}h26"/>')
    parts.append(f'<text x="{_LEFT + 34}" y="{legend + 4}">{escape(line.name)}</text>')
    return parts


@dataclass(frozen=True)
class _Scale:
    """A logarithmic axis from one power of ten to another, from pixel to pixel."""

    low: int
    high: int
    start: float
    end: float

    @classmethod
    def of(cls, values: Sequence[float], axis: int) -> _Scale:
        low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
        start, end = ((_LEFT, WIDTH - _RIGHT), (_TOP + _PLOT, _TOP))[axis]
        return cls(low, max(high, low + 1), start, end)

    def place(self, value: float) -> float:
        return self.start + (math.log10(value) - self.low) / (self.high - self.low) * (self.end - self.start)

    def ticks(self) -> list[float]:
        return [10.0**power for power in range(self.low, self.high + 1)]


def _number(value: float) -> str:
    return f"{value:.1f}"
