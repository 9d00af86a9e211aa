"""Small SVG plots, one line per side, on logarithmic or linear axes."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

WIDTH: Final = 640
HEIGHT: Final = 300
LEFT, RIGHT, TOP, BOTTOM = 60, 170, 16, 46
COLORS: Final = ("#1b6ca8", "#c0392b", "#7d8a2e", "#8e44ad", "#555555")
Points = Sequence[tuple[float, float]]


def lines(sides: Mapping[str, Points], *, x: str, y: str, is_y_log: bool = True) -> str:
    """A line for each side. The x axis is logarithmic. The y axis is logarithmic or begins at zero."""
    known = {name: [point for point in side if math.isfinite(point[1])] for name, side in sides.items()}
    x_place, x_ticks = _axis((at for side in known.values() for at, _ in side), LEFT, WIDTH - RIGHT, is_log=True)
    y_place, y_ticks = _axis((at for side in known.values() for _, at in side), HEIGHT - BOTTOM, TOP, is_log=is_y_log)
    parts = [_text(x_place(at), HEIGHT - BOTTOM + 18, f"{at:g}", anchor="middle") for at in x_ticks]
    parts += [_text(LEFT - 8, y_place(at) + 4, f"{at:g}", anchor="end") for at in y_ticks]
    parts += [_rule(x_place(at), TOP, x_place(at), HEIGHT - BOTTOM) for at in x_ticks]
    parts += [_rule(LEFT, y_place(at), WIDTH - RIGHT, y_place(at)) for at in y_ticks]
    parts += [_text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 8, x, anchor="middle"), _text(4, -4, y)]
    for place, (name, side) in enumerate(known.items()):
        color = COLORS[place % len(COLORS)]
        path = " ".join(f"{x_place(at):.1f},{y_place(value):.1f}" for at, value in side)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{color}" stroke-width="2"/>')
        parts.append(_text(WIDTH - RIGHT + 12, TOP + 14 + 18 * place, name, color=color))
    size = f'viewBox="0 -20 {WIDTH} {HEIGHT + 20}" width="{WIDTH}" height="{HEIGHT + 20}"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif" font-size="12">'
    return "\n".join(
        [head, f'<rect y="-20" width="{WIDTH}" height="{HEIGHT + 20}" fill="#fff"/>', *parts, "</svg>", ""]
    )


def distribution(sides: Mapping[str, Sequence[float]], *, x: str) -> str:
    """For each side, which share of its values is at most x."""
    curves = {}
    for name, values in sides.items():
        ordered = sorted(values)
        curve = [(at, 100 * (place + 1) / len(ordered)) for place, at in enumerate(ordered)]
        curves[name] = [*curve[:: max(1, len(curve) // 200)], curve[-1]] if curve else []
    return lines(curves, x=x, y="% of all", is_y_log=False)


def _axis(
    values: Iterable[float], start: float, end: float, *, is_log: bool
) -> tuple[Callable[[float], float], list[float]]:
    """Where a value lies between `start` and `end`, and which values are written beside the axis."""
    seen = list(values) or [1.0]
    most = max(seen)
    if is_log:
        least = min(seen)
        low, high = math.log(least), math.log(max(most, least * 1.01))
        powers = range(math.floor(math.log10(least)), math.ceil(math.log10(most)) + 1)
        ticks = [step * 10.0**power for power in powers for step in (1, 2, 5)]
        return (
            lambda value: start + (end - start) * (math.log(value) - low) / (high - low),
            [tick for tick in ticks if least * 0.999 <= tick <= most * 1.001],
        )
    step = 10.0 ** math.floor(math.log10(most)) / (1 if most / 10.0 ** math.floor(math.log10(most)) > 4 else 4)
    return lambda value: start + (end - start) * value / most, [step * place for place in range(int(most / step) + 1)]


def _text(x: float, y: float, text: str, *, anchor: str = "start", color: str = "#333") -> str:
    safe = text.replace("&", "&amp;").replace("<", "&lt;")
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{color}">{safe}</text>'


def _rule(x: float, y: float, to_x: float, to_y: float) -> str:
    return f'<path d="M{x:.1f} {y:.1f}L{to_x:.1f} {to_y:.1f}" stroke="#ddd"/>'
