"""The worst images of a front's networks, as data URIs that fit a page."""

import base64
import io
from pathlib import Path
from typing import Any

from PIL import Image

from naturalize.report.reading import read_picture


def pictures_of(run_directory: Path, front: dict[str, Any], chosen: int, limit: int) -> dict[str, str]:
    """Data URIs of the worst images, by path.

    PNGs that are too large together become WebP; where these are too large too, the least bad images are left out,
    those of the network that the page opens with last.
    """
    ranked = sorted(
        (rank, index != chosen, index, worst["picture"])
        for index, network in enumerate(front["networks"])
        for rank, worst in enumerate(network.get("test_worst") or [])
        if worst.get("picture")
    )
    first = [name for _, other, _, name in ranked if not other]
    names = list(dict.fromkeys(first + [name for *_, name in ranked]))
    found = {name: content for name in names if (content := read_picture(run_directory, name)) is not None}
    kind = "png"
    if sum(uri_length(name, content) for name, content in found.items()) > limit:
        kind = "webp"
        found = {name: as_webp(content) for name, content in found.items()}
    uris: dict[str, str] = {}
    for name, content in found.items():
        limit -= uri_length(name, content)
        if limit < 0:
            break
        uris[name] = f"data:image/{kind};base64,{base64.b64encode(content).decode()}"
    return uris


def uri_length(name: str, content: bytes) -> int:
    return len(content) * 4 // 3 + len(name.encode()) + 40


def as_webp(content: bytes) -> bytes:
    """A picture of the same size as WebP, with about a tenth of the bytes; empty where it cannot be decoded."""
    buffer = io.BytesIO()
    try:
        with Image.open(io.BytesIO(content)) as picture:
            picture.convert("RGB").save(buffer, "WEBP", quality=80)
    except (OSError, ValueError):
        return b""
    return buffer.getvalue()
