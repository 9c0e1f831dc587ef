"""The one decoder: training, validation, prediction, reports and exports see a picture as `read_picture` gives it."""

import contextlib
import io
import os
import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from naturalize.errors import UserError

# Raster formats only: Pillow would run Ghostscript for EPS and takes almost anything for a TGA.
FORMATS = ("JPEG", "MPO", "PNG", "BMP", "DIB", "GIF", "TIFF", "WEBP", "PPM", "JPEG2000", "AVIF", "HEIF")
FULL_16_BIT = 2**14  # what the brightest of 16-bit pixels reaches at least, or they may hold 10, 12 or 14 bits
DEEP_COLOURS = re.compile(r";16[BLN]|\('RGB', 65535\)")  # how Pillow's plugins tell its decoders of 16 bits a colour
PIXELS_LIMIT = 178_956_970  # where Pillow itself calls a picture a decompression bomb, by default
REDUCIBLE = ("JPEG", "MPO")
JPEG_SIDE = 224  # the largest resolution of the supernets that are chosen by themselves

ORIENTATION = 0x112
UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
SIDEWAYS = (5, 6, 7, 8)


@contextlib.contextmanager
def without_warnings() -> Iterator[None]:
    """Silence Pillow's warnings of odd but readable files: no news to the user. Filters are those of all threads."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


class UnreadablePicture(UserError):
    """A picture that cannot be decoded. `package` is what would have to be installed, where that is the reason."""

    def __init__(self, name: str, reason: str, package: str | None = None) -> None:
        super().__init__(f"{name} cannot be read: {reason}")
        self.name = name
        self.reason = reason
        self.package = package


class Opened(NamedTuple):
    """A picture as it was decoded, the sides that it has in its file, upright, and the largest of 16-bit values."""

    picture: Image.Image
    width: int
    height: int
    highest: int | None = None  # of pictures with 16 bits a colour only


def read_picture(
    source: bytes | str | os.PathLike[str], name: str | None = None, jpeg_side: int | None = JPEG_SIDE
) -> Image.Image:
    """The picture in a file or in encoded bytes, upright, in mode "L" (grey) or "RGB"; see `read_whole`."""
    return read_whole(source, name, jpeg_side).picture


def read_whole(
    source: bytes | str | os.PathLike[str], name: str | None = None, jpeg_side: int | None = JPEG_SIDE
) -> Opened:
    """The same with the sides that it has in its file; see `open_picture`.

    It is judged alone: one of 16 bits that leaves open what white is (`leaves_white_open`) is an `UnreadablePicture`.
    """
    name = name or _name_of(source)
    opened = open_picture(source, name, jpeg_side)
    if opened.highest is not None and leaves_white_open(opened.highest):
        raise without_white(name)
    return opened


def open_picture(
    source: bytes | str | os.PathLike[str], name: str | None = None, jpeg_side: int | None = JPEG_SIDE
) -> Opened:
    """The picture in a file or in encoded bytes, upright, in mode "L" (grey) or "RGB", and what its file says of it.

    The format is judged by content, not by suffix, and the first frame is taken. The camera's orientation tag is
    applied and transparency laid on white. 16 bits a colour are divided by 256: whether they use their range is for the
    caller to judge, by `highest`, over all pictures that belong together. Floating-point pixels within 0..1 are
    multiplied by 255; other ranges are refused, since nothing says what white is. Embedded colour profiles are ignored.

    JPEG files are decoded at 1/2, 1/4 or 1/8 of their size, the smallest at which both sides keep `jpeg_side` pixels:
    libjpeg then leaves out what a network would not see, and takes a fraction of the time.

    Args:
        source: encoded bytes, or a path.
        name: what errors call the picture; the path unless told.
        jpeg_side: what both sides of a reduced picture have at least; None reduces none.

    Raises:
        UnreadablePicture: naming the picture and what is wrong with it.
    """
    name = name or _name_of(source)
    if isinstance(source, bytes):
        data = source
    else:
        try:
            data = Path(source).read_bytes()
        except FileNotFoundError as error:
            raise UnreadablePicture(name, "broken link" if Path(source).is_symlink() else "no such file") from error
        except OSError as error:
            raise UnreadablePicture(name, error.strerror or str(error)) from error
    if not data:
        raise UnreadablePicture(name, "empty file")
    brand = data[8:12] if data[4:8] == b"ftyp" else b""
    if brand in (b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1"):
        _register_heif(name)
    with damage_told(name):
        try:
            picture = Image.open(io.BytesIO(data), formats=readable_formats())
        except Image.UnidentifiedImageError as error:
            if brand in (b"avif", b"avis"):
                raise UnreadablePicture(name, "AVIF needs a decoder", "pillow-avif-plugin") from error
            raise UnreadablePicture(name, "not a picture in a known format, or its start is damaged") from error
        with picture:
            return plain_picture(picture, name, jpeg_side)


def _name_of(source: bytes | str | os.PathLike[str]) -> str:
    return "picture" if isinstance(source, bytes) else str(source)


@contextlib.contextmanager
def damage_told(name: str) -> Iterator[None]:
    """Makes whatever Pillow raises for a damaged picture an `UnreadablePicture`; a lack of memory stays what it is."""
    try:
        yield
    except Image.DecompressionBombError as error:
        raise _too_large(name) from error
    except (UnreadablePicture, MemoryError):
        raise  # where memory ran out, nothing is wrong with the picture
    except Exception as error:  # of almost any kind: OSError, SyntaxError, struct.error
        raise UnreadablePicture(name, f"damaged ({error})") from error


def leaves_white_open(highest: int) -> bool:
    """Whether 16-bit pictures may hold fewer bits, of which nobody says how many, so that they would come out dark.

    A camera's 10, 12 or 14 bits divided by 256 keep 4, 16 or 64 grey levels of 256. Pictures that belong together are
    judged together, so that a dark one among others is read as dark; black ones are black by any rule.

    Args:
        highest: the largest value of them all.
    """
    return 0 < highest < FULL_16_BIT


def without_white(name: str) -> UnreadablePicture:
    """The error for a picture of which `leaves_white_open` holds."""
    reason = f"16-bit pixels none of which is above {FULL_16_BIT - 1} leave open what white is: save it as 8 bit"
    return UnreadablePicture(name, reason)


def readable_formats() -> list[str]:
    """Those of `FORMATS` that Pillow can open here."""
    Image.init()
    return [known for known in FORMATS if known in Image.OPEN]


def _register_heif(name: str) -> None:
    if "HEIF" in Image.OPEN:
        return
    try:
        import pillow_heif
    except ImportError as error:
        raise UnreadablePicture(name, "HEIC needs a decoder", "pillow-heif") from error
    pillow_heif.register_heif_opener()


def _too_large(name: str) -> UnreadablePicture:
    return UnreadablePicture(name, f"more than {PIXELS_LIMIT / 1e6:.0f} million pixels, the limit: scale it down")


def plain_picture(picture: Image.Image, name: str, jpeg_side: int | None = None) -> Opened:
    """A picture of Pillow's, as `open_picture` gives it; it is loaded. Raises `UnreadablePicture`, and Pillow's own."""
    if picture.width * picture.height > PIXELS_LIMIT:  # also where the application has switched Pillow's guard off
        raise _too_large(name)
    width, height = picture.size
    tiles = getattr(picture, "tile", ())  # how it is to be decoded, which Pillow forgets: kept in case of a second look
    deep = picture.info.setdefault("16 bits a colour", any(DEEP_COLOURS.search(str(tile[3])) for tile in tiles))
    if jpeg_side is not None and picture.format in REDUCIBLE:
        picture.draft(None, (jpeg_side, jpeg_side))
    picture.load()  # the tag is read after it: Pillow turns a TIFF while loading, and takes its tag away
    tag = _orientation(picture)
    if picture.format not in REDUCIBLE:
        width, height = picture.size
    if tag in SIDEWAYS:
        width, height = height, width
    plain = _grey_or_rgb(picture, name)
    upright = plain.transpose(UPRIGHT[tag]) if tag in UPRIGHT else plain
    return Opened(upright, width, height, _highest(picture, deep))


def _orientation(picture: Image.Image) -> int:
    try:
        return int(picture.getexif().get(ORIENTATION, 1))
    except MemoryError:
        raise
    except Exception:  # a damaged tag says nothing about the pixels, and Pillow raises almost anything for it
        return 1


def _grey_or_rgb(picture: Image.Image, name: str) -> Image.Image:
    mode = picture.mode
    if mode == "I" and picture.format not in ("PNG", "PPM"):
        raise UnreadablePicture(name, "32-bit integer pixels have no stated range: save it as 8 or 16 bit")
    if mode.startswith("I"):
        return Image.fromarray((np.asarray(picture) >> 8).clip(0, 255).astype(np.uint8))
    if mode == "F":
        return _from_float(np.asarray(picture), name)
    if mode == "LAB":
        raise UnreadablePicture(name, "Lab colours are not supported: save it as RGB")
    grey = mode in ("1", "L", "LA", "La")
    if not picture.has_transparency_data:
        plain = "L" if grey else "RGB"
        return picture if mode == plain else picture.convert(plain)  # which would copy it
    see_through = picture.convert("RGBA")
    on_white = Image.new("RGB", picture.size, "white")
    on_white.paste(see_through, mask=see_through.getchannel("A"))
    return on_white.getchannel("R") if grey else on_white


def _highest(picture: Image.Image, deep: bool) -> int | None:
    """The largest value of 16-bit pixels; None for others.

    Of `deep` colours Pillow keeps the upper eight bits, in a PPM rounded: the largest value below what it kept, or the
    largest of which it keeps nothing.
    """
    if picture.mode.startswith("I"):
        return int(np.asarray(picture).max(initial=0))
    if deep and picture.mode.startswith("RGB"):
        return max(256 * int(np.asarray(picture)[..., :3].max(initial=0)), 256) - 1
    return None


def _from_float(values: np.ndarray[Any, Any], name: str) -> Image.Image:
    if not (values.min() >= 0 and values.max() <= 1):  # so written, NaN is refused too
        raise UnreadablePicture(name, "floating-point pixels outside 0..1 have no stated range: save it as 8 or 16 bit")
    return Image.fromarray(np.round(values * 255).astype(np.uint8))
