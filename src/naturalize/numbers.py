"""Numbers as people read them, in the terminal, in messages and in reports."""

import numpy as np
from numpy.typing import ArrayLike, NDArray


def count(value: float) -> str:
    """A number with at most three figures and a unit: 6.67 M, 0.213 M, 34.2 k, 870."""
    for factor, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        # 0.213 M rather than 213 k: tables of millions stay in one unit.
        if value >= (1e5 if unit == "M" else 0.9995 * factor):
            return f"{value / factor:.3g} {unit}"
    return f"{value:.3g}"


def size(value: float) -> str:
    """A number of bytes: 2.71 MB, 34.2 kB, 870 B."""
    return f"{count(value)}B" if value >= 999.5 else f"{count(value)} B"


def milliseconds(value: float) -> str:
    """A latency: 4.27 ms, 0.31 ms."""
    return f"{value:.3g} ms"


def millijoules(value: float) -> str:
    """An energy: 4.27 mJ."""
    return f"{value:.3g} mJ"


def percent(value: float | None) -> str:
    """A percentage: 12.3%, or 0.25% where one decimal would say little; a dash for None, which was not measured."""
    if value is None:
        return "–"
    # 3.75 may come as 3.7499999999: without the rounding the same share would read 3.7 here and 3.8 there.
    return f"{round(value, 9):.{2 if 0 < value < 0.95 else 1}f}%"


def duration(seconds: float) -> str:
    """A time: 4.2s, 48s, 2m 05s, 1h 30m."""
    if seconds < 9.95:
        return f"{seconds:.1f}s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m {whole % 60:02d}s"
    return f"{whole // 3600}h {whole % 3600 // 60:02d}m"


def plural(n: int, thing: str, things: str = "") -> str:
    """A number of things: 1 network, 9 networks, 12,000 images."""
    return f"{n:,} {thing if n == 1 else things or thing + 's'}"


def standard_error(errors: ArrayLike, images: int) -> NDArray[np.float64]:
    """Standard error of errors in percent on a number of images, in percentage points: binomial, by Laplace's rule.

    No error on few images proves little, so one more answer of each kind counts. Shapes: `(n,) -> (n,)`, or one number.
    """
    shares = (np.asarray(errors, dtype=np.float64) / 100.0 * images + 1.0) / (images + 2.0)
    return 100.0 * np.sqrt(shares * (1.0 - shares) / max(images, 1))
