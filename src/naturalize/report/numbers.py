"""Numbers as people read them. A no-break space keeps number and unit on one line."""

import math

SPACE = "\u00a0"


def count(value: float) -> str:
    """1.2 M, 0.21 M, 34 k, 870: two or three figures and a unit."""
    for factor, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        # 0.21 M rather than 210 k: tables of millions stay in one unit.
        if value >= (1e5 if unit == "M" else 0.9995 * factor):
            return f"{_figures(value / factor)}{SPACE}{unit}"
    return _figures(value)


def percent(value: float | None) -> str:
    """12.3 %, and 0.25 % where one decimal would say little; a dash for what was not measured."""
    if value is None:
        return "–"
    # 3.75 may come as 3.7499999999: without the rounding the same share would read 3.7 here and 3.8 there.
    return f"{round(value, 9):.{2 if 0 < value < 0.95 else 1}f}{SPACE}%"


def duration(seconds: float) -> str:
    """48 s, 3 min 05 s, 2 h 07 min."""
    if seconds < 10:
        return f"{seconds:.1f}{SPACE}s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole}{SPACE}s"
    if whole < 3600:
        return f"{whole // 60}{SPACE}min {whole % 60:02d}{SPACE}s"
    return f"{whole // 3600}{SPACE}h {whole % 3600 // 60:02d}{SPACE}min"


def plural(n: int, thing: str, things: str = "") -> str:
    """1 network, 9 networks, 12,000 images."""
    return f"{n:,} {thing if n == 1 else things or thing + 's'}"


def standard_error(error: float, images: int) -> float:
    """Of a share of `images` in percent, both in percent: sqrt(p (1 - p) / n)."""
    share = min(max(error / 100, 0.0), 1.0)
    return 100 * math.sqrt(share * (1 - share) / max(images, 1))


def _figures(value: float) -> str:
    """Two figures after the first non-zero ones are enough: 0.21, 6.1, 61, 612."""
    if value == int(value) and value < 1000:
        return str(int(value))
    return f"{value:.2f}" if value < 0.995 else f"{value:.1f}" if value < 9.95 else f"{value:.0f}"
