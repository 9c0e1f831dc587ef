import io
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pictures import Fx, colours, deep_png, deep_ppm, deep_tiff, picture
from PIL import Image, ImageOps

from naturalize.data import Pixels, Preprocessing, UnreadablePicture, decode, open_data, read_picture
from naturalize.data.decode import open_picture
from naturalize.errors import UserError


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def values(image: Image.Image) -> NDArray[Any]:
    return np.asarray(image)


def test_D13_the_first_of_several_pictures_is_used_and_the_suffix_does_not_matter(fx: Fx) -> None:
    photos = fx("photos", 4, "cat", "dog")
    first, second = picture("first", 0), picture("second", 0)
    first.save(photos / "cat" / "m.jpg", format="MPO", save_all=True, append_images=[second])
    (photos / "dog" / "really.jpg").write_bytes(encoded(first, "PNG"))
    dataset = open_data(photos, strict=True)
    multi = values(dataset.picture(dataset.paths.index("cat/m.jpg"))).astype(int)
    assert abs(multi.mean((0, 1)) - values(first).mean((0, 1))).max() < 3
    assert values(dataset.picture(dataset.paths.index("dog/really.jpg"))).tolist() == values(first).tolist()


def test_D17_a_huge_picture_is_named_with_the_limit_and_the_guard_stays_on(fx: Fx) -> None:
    photos = fx("photos", 4, "cat", "dog")
    Image.new("1", (14000, 14000)).save(photos / "cat" / "big.png")
    dataset = open_data(photos)
    [note] = [note for note in dataset.notes if note.kind == "skipped"]
    assert "cat/big.png (more than 179 million pixels, the limit: scale it down)" in note.message
    assert Image.MAX_IMAGE_PIXELS is not None


def test_D17_the_limit_holds_where_the_application_switched_pillows_guard_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    monkeypatch.setattr(decode, "PIXELS_LIMIT", 100)
    with pytest.raises(UnreadablePicture, match="the limit"):
        read_picture(encoded(Image.new("L", (11, 10)), "PNG"))


def test_D18_transparent_palettes_are_laid_on_white_without_warnings(fx: Fx) -> None:
    photos = fx("photos", 4, "cat", "dog")
    palette = Image.new("P", (8, 8), 0)
    palette.putpalette([255, 0, 0, 0, 255, 0])
    palette.paste(1, (0, 0, 4, 8))
    for name in ("cat", "dog"):
        palette.save(photos / name / "p.png", transparency=bytes([0, 255]))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        dataset = open_data(photos)
        Pixels(dataset, dataset.splits["train"], [8])(slice(None), 8)
    assert not caught
    pixels = dataset.pixels(dataset.paths.index("cat/p.png"))
    assert pixels[0, 0].tolist() == [0, 255, 0]
    assert pixels[0, 7].tolist() == [255, 255, 255]


@pytest.mark.parametrize("mode", ["LA", "RGBA"])
def test_D18_transparency_of_any_mode_is_laid_on_white(mode: str) -> None:
    read = read_picture(encoded(Image.new("RGBA", (4, 4), (10, 10, 10, 0)).convert(mode), "PNG"))
    assert values(read).min() == 255
    assert read.mode == ("L" if mode == "LA" else "RGB")


def test_D20_16_bit_grey_is_scaled_by_its_depth_in_png_and_tiff_alike(tmp_path: Path) -> None:
    deep = np.arange(64, dtype=np.uint16).reshape(8, 8) * 1000
    seen = [values(read_picture(encoded(Image.fromarray(deep), kind))) for kind in ("PNG", "TIFF", "PPM")]
    for grey in seen:
        assert grey.tolist() == (deep // 256).tolist()
    big_endian = Image.fromarray(deep.astype(">u2"))
    assert values(read_picture(encoded(big_endian, "TIFF"))).tolist() == (deep // 256).tolist()
    for name, level in (("dark", 20000), ("bright", 40000)):
        (tmp_path / name).mkdir()
        for index in range(3):
            level_of_this = np.full((8, 8), level + index, np.uint16)
            level_of_this[0, 0] = 256 * index
            Image.fromarray(level_of_this).save(tmp_path / name / f"{index}.png")
    dataset = open_data(tmp_path)
    assert dataset.channels == 1
    means = [dataset.pixels(index)[4, 4, 0] for index in range(6)]
    assert means == [156] * 3 + [78] * 3


def test_D21_tiff_is_read_and_float_only_within_0_and_1(tmp_path: Path) -> None:
    plain = values(picture("x", 1))
    assert values(read_picture(encoded(Image.fromarray(plain), "TIFF"))).tolist() == plain.tolist()
    ramp = np.linspace(0, 1, 64, dtype=np.float32).reshape(8, 8)
    assert values(read_picture(encoded(Image.fromarray(ramp), "TIFF"))).tolist() == np.round(ramp * 255).tolist()
    path = tmp_path / "f.tif"
    path.write_bytes(encoded(Image.fromarray(ramp * 90), "TIFF"))
    with pytest.raises(UnreadablePicture, match=r"f\.tif cannot be read: floating-point pixels outside 0\.\.1"):
        read_picture(path)
    with pytest.raises(UnreadablePicture, match="32-bit integer"):
        read_picture(encoded(Image.fromarray(ramp.astype(np.int32)), "TIFF"))


def test_D22_cmyk_red_is_red() -> None:
    data = encoded(Image.new("CMYK", (64, 48), (0, 255, 255, 0)), "JPEG")
    red = values(read_picture(data))[24, 32].astype(int)
    assert abs(red - [255, 0, 0]).max() < 8


@pytest.mark.parametrize("tag", range(1, 9))
def test_D23_the_orientation_tag_gives_the_same_pixels_as_turning_them(tag: int) -> None:
    image = picture("cat", 1)
    exif = Image.Exif()
    exif[0x112] = tag
    upright = {6: Image.Transpose.ROTATE_270, 8: Image.Transpose.ROTATE_90, 3: Image.Transpose.ROTATE_180}
    upright |= {2: Image.Transpose.FLIP_LEFT_RIGHT, 4: Image.Transpose.FLIP_TOP_BOTTOM}
    upright |= {5: Image.Transpose.TRANSPOSE, 7: Image.Transpose.TRANSVERSE}
    turned = image.transpose(upright[tag]) if tag in upright else image
    tagged = read_picture(encoded(image, "PNG", exif=exif))
    assert values(tagged).tolist() == values(turned).tolist()
    prepare = Preprocessing(3, 24)
    assert prepare(tagged).tolist() == prepare(turned).tolist()


@pytest.mark.parametrize("kind", ["TIFF", "PNG", "WEBP"])
@pytest.mark.parametrize("tag", range(1, 9))
def test_N03_every_format_is_turned_once(kind: str, tag: int) -> None:
    image = picture("cat", 1)
    exif = Image.Exif()
    exif[0x112] = tag
    data = encoded(image, kind, exif=exif, **({"lossless": True} if kind == "WEBP" else {}))
    right = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    opened = open_picture(data)
    assert values(opened.picture).tolist() == values(right.convert("RGB")).tolist()
    assert (opened.width, opened.height) == opened.picture.size


def test_N03_the_sides_of_a_turned_jpeg_are_those_of_the_file() -> None:
    exif = Image.Exif()
    exif[0x112] = 6
    opened = open_picture(encoded(Image.new("RGB", (1000, 600)), "JPEG", exif=exif), jpeg_side=100)
    assert (opened.width, opened.height) == (600, 1000)
    assert opened.picture.width < 600


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
def test_a_damaged_tag_does_not_make_a_picture_unreadable() -> None:
    data = encoded(picture("cat", 1), "JPEG", exif=b"Exif\0\0MM\0*\0\0\0\x08\xff\xff" + b"\xff" * 40)
    assert read_picture(data).size == (64, 48)


def test_C13_a_lack_of_memory_is_no_damaged_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    def lacks(*args: Any) -> None:
        raise MemoryError

    monkeypatch.setattr(decode, "plain_picture", lacks)
    with pytest.raises(MemoryError):
        read_picture(encoded(picture("cat", 1), "JPEG"))


def test_C13_a_lack_of_memory_is_no_missing_tag(monkeypatch: pytest.MonkeyPatch) -> None:
    def lacks(*args: Any) -> None:
        raise MemoryError

    data = encoded(picture("cat", 1), "BMP")
    monkeypatch.setattr(Image.Image, "getexif", lacks)
    with pytest.raises(MemoryError):
        read_picture(data)


def photo(size: tuple[int, int]) -> Image.Image:
    """A large picture with details of all sizes."""
    noise = np.random.default_rng(0).integers(0, 256, (23, 31, 3), dtype=np.uint8)
    return Image.fromarray(noise).resize(size, Image.Resampling.BICUBIC)


@pytest.mark.parametrize(
    ("size", "scale"),
    [
        ((448, 600), 2),
        ((447, 600), 1),
        ((2000, 447), 1),
        ((500, 2000), 2),
        ((897, 896), 4),
        ((2000, 1791), 4),
        ((1795, 2000), 8),
        ((5000, 4000), 8),
    ],
)
@pytest.mark.parametrize("kind", ["JPEG", "MPO"])
def test_a_jpeg_is_decoded_at_the_smallest_scale_at_which_both_sides_keep_224_pixels(
    kind: str, size: tuple[int, int], scale: int
) -> None:
    data = encoded(photo(size), kind, **({"save_all": True, "append_images": [photo(size)]} if kind == "MPO" else {}))
    read = read_picture(data)
    assert read.size == (-(-size[0] // scale), -(-size[1] // scale))
    with Image.open(io.BytesIO(data)) as by_pillow:
        assert by_pillow.format == kind
        by_pillow.draft(None, (224, 224))
        assert np.array_equal(values(read), values(by_pillow))
    with Image.open(io.BytesIO(data)) as whole:
        assert np.array_equal(values(read_picture(data, jpeg_side=None)), values(whole))


@pytest.mark.parametrize(
    ("mode", "options"), [("L", {}), ("CMYK", {}), ("RGB", {"progressive": True, "subsampling": 0})]
)
def test_jpegs_of_any_kind_are_reduced(mode: str, options: dict[str, Any]) -> None:
    data = encoded(photo((500, 460)).convert(mode), "JPEG", **options)
    with Image.open(io.BytesIO(data)) as by_pillow:
        by_pillow.draft(None, (224, 224))
        assert by_pillow.size == (250, 230)
        assert np.array_equal(values(read_picture(data)), values(by_pillow.convert("L" if mode == "L" else "RGB")))


def test_a_reduced_jpeg_is_turned_upright_and_has_the_sides_of_its_file(tmp_path: Path) -> None:
    upright = {6: Image.Transpose.ROTATE_270, 3: Image.Transpose.ROTATE_180}
    for tag, turn in upright.items():
        exif = Image.Exif()
        exif[0x112] = tag
        data = encoded(photo((1000, 500)), "JPEG", exif=exif)
        opened = open_picture(data)
        plain = read_picture(encoded(photo((1000, 500)), "JPEG"))
        assert np.array_equal(values(opened.picture), values(plain.transpose(turn)))
        assert (opened.width, opened.height) == ((500, 1000) if tag == 6 else (1000, 500))


def test_only_jpegs_are_reduced_and_sides_are_those_of_the_files(tmp_path: Path) -> None:
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        for index, suffix in enumerate(("jpg", "png", "tiff", "webp")):
            photo((500 + index, 460)).rotate(180 * (name == "cat")).save(tmp_path / name / f"{index}.{suffix}")
    Image.new("RGB", (7, 4000)).save(tmp_path / "cat" / "thin.jpg")
    dataset = open_data(tmp_path)
    assert dataset.side == 460
    sizes = {path: dataset.picture(index).size for index, path in enumerate(dataset.paths)}
    assert sizes["cat/thin.jpg"] == (7, 4000)
    assert [sizes[f"dog/{name}"] for name in ("0.jpg", "1.png", "2.tiff", "3.webp")] == [
        (250, 230),
        (501, 460),
        (502, 460),
        (503, 460),
    ]
    assert [note.paths for note in dataset.notes if note.kind == "tiny"] == [("cat/thin.jpg",)]
    whole = open_data(tmp_path, jpeg_side=None)
    assert whole.picture(whole.paths.index("dog/0.jpg")).size == (500, 460)
    assert (whole.side, whole.fingerprint == dataset.fingerprint) == (460, False)


def test_a_large_jpeg_that_is_cut_off_is_damaged() -> None:
    data = encoded(photo((2000, 1800)), "JPEG")
    with pytest.raises(UnreadablePicture, match="damaged"):
        read_picture(data[: len(data) // 2])


HEIC = b"\0\0\0\x18ftypheic\0\0\0\0heicmif1" + bytes(200)


def test_D25_heic_is_counted_with_what_to_install_and_a_class_of_it_alone_is_an_error(
    fx: Fx, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pillow_heif", None)
    photos = fx("photos", 4, "cat", "dog")
    for index in range(12):
        (photos / "cat" / f"{index}.heic").write_bytes(HEIC)
    dataset = open_data(photos)
    assert "12 HEIC files skipped: install pillow-heif" in "\n".join(dataset.summary())
    for path in (photos / "cat").glob("*.jpg"):
        path.unlink()
    with pytest.raises(UserError, match=r"no readable picture left of cat: .*install pillow-heif"):
        open_data(photos)


def test_D25_avif_is_read_where_pillow_can() -> None:
    Image.init()
    if "AVIF" not in Image.SAVE:
        pytest.skip("this Pillow has no AVIF")
    assert read_picture(encoded(picture("cat", 1), "AVIF")).size == (64, 48)


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "CMYK", "YCbCr", "LA", "RGBA"])
def test_every_mode_becomes_grey_or_rgb(mode: str) -> None:
    image = picture("cat", 1).convert(mode)
    read = read_picture(encoded(image, "TIFF"))
    assert read.mode == ("L" if mode in ("1", "L", "LA") else "RGB")
    assert read.size == (64, 48)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "empty file"),
        (b"hello, world", "not a picture in a known format"),
        (encoded(picture("cat", 1), "JPEG")[:400], "damaged"),
        (encoded(picture("cat", 1), "PNG")[:400], "damaged"),
        (encoded(picture("cat", 1), "GIF")[:300], "damaged"),
        (encoded(picture("cat", 1), "WEBP")[:400], "cannot be read"),
        (encoded(picture("cat", 1), "TIFF")[:400], "cannot be read"),
    ],
)
def test_damaged_pictures_are_named(data: bytes, says: str) -> None:
    with pytest.raises(UnreadablePicture, match=r"^this one cannot be read") as caught:
        read_picture(data, "this one")
    assert says in str(caught.value)


def test_postscript_is_not_run() -> None:
    with pytest.raises(UnreadablePicture, match="not a picture in a known format"):
        read_picture(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\nshowpage\n")


@pytest.mark.parametrize("suffix", ["png", "tif"])
@pytest.mark.parametrize("bits", [10, 12, 14])
def test_N16_a_file_of_sixteen_bits_of_which_few_are_used_is_refused(tmp_path: Path, suffix: str, bits: int) -> None:
    path = tmp_path / f"camera.{suffix}"
    Image.fromarray(colours(bits)[..., 0]).save(path)
    with pytest.raises(UnreadablePicture, match="leave open what white is"):
        read_picture(path)


@pytest.mark.parametrize("values", [np.zeros((8, 8), np.uint16), np.full((8, 8), 2**14, np.uint16)])
def test_N16_black_and_dark_pictures_of_sixteen_bits_are_read(tmp_path: Path, values: NDArray[np.uint16]) -> None:
    Image.fromarray(values).save(tmp_path / "dark.png")
    assert np.asarray(read_picture(tmp_path / "dark.png")).max() == values.max() // 256


def with_alpha(values: NDArray[np.uint16]) -> bytes:
    return deep_png(np.concatenate([values, np.full((8, 8, 1), 65535, np.uint16)], axis=2))


@pytest.mark.parametrize("encode", [deep_png, deep_tiff, deep_ppm, with_alpha])
def test_N16_colours_of_sixteen_bits_are_judged_as_grey_is(encode: Callable[[NDArray[np.uint16]], bytes]) -> None:
    for bits in (8, 10, 12, 14):
        with pytest.raises(UnreadablePicture, match="leave open what white is"):
            read_picture(encode(colours(bits)))
    difference = values(read_picture(encode(colours(16)))).astype(int) - (colours(16) >> 8)
    assert abs(difference).max() <= (encode is deep_ppm)  # which Pillow rounds


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "PPM", "BMP"])
def test_N16_dark_colours_of_eight_bits_are_read(kind: str) -> None:
    assert values(read_picture(encoded(Image.new("RGB", (8, 8), (3, 3, 3)), kind))).max() == 3


def save(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


@pytest.mark.parametrize("grey", [True, False])
def test_N16_a_dark_picture_among_others_of_its_set_is_read_as_dark(tmp_path: Path, grey: bool) -> None:
    for row in range(12):
        deep = np.roll(colours(16), row) if row else colours(9)
        data = encoded(Image.fromarray(deep[..., 0]), "PNG") if grey else deep_png(deep)
        save(tmp_path / ("cat" if row % 2 else "dog") / f"{row}.png", data)
    dataset = open_data(tmp_path, strict=True)
    assert dataset.pixels(dataset.paths.index("dog/0.png")).max() == 1


@pytest.mark.parametrize("grey", [True, False])
def test_N16_a_set_of_which_no_picture_uses_its_sixteen_bits_is_refused(tmp_path: Path, grey: bool) -> None:
    for row in range(12):
        deep = np.roll(colours(14), row)
        data = encoded(Image.fromarray(deep[..., 0]), "PNG") if grey else deep_png(deep)
        save(tmp_path / ("cat" if row % 2 else "dog") / f"{row}.png", data)
    with pytest.raises(UserError, match="none of which is above 16383 leave open what white is") as caught:
        open_data(tmp_path)
    assert "\n" not in str(caught.value)


def test_N16_a_few_such_pictures_among_others_of_eight_bits_are_told_and_left_out(fx: Fx) -> None:
    photos = fx("photos", 12, "cat", "dog")
    save(photos / "cat" / "deep.png", deep_png(colours(12)))
    dataset = open_data(photos)
    assert len(dataset.labels) == 24
    assert "1 unreadable picture skipped: cat/deep.png (16-bit pixels" in "\n".join(dataset.summary())


def test_N16_a_given_test_is_judged_with_what_was_trained_on(fx: Fx) -> None:
    for full in (False, True):
        photos = fx(f"{full}/train", 12, "cat", "dog").parent
        fx(f"{full}/test", 12, "cat", "dog")
        save(photos / "test" / "cat" / "dark.png", deep_png(colours(12)))
        if full:
            save(photos / "train" / "dog" / "full.png", deep_png(colours(16)))
        dataset = open_data(photos, scan_test=True)
        assert len(dataset.splits["test"]) == 24 + full
        assert ("test/cat/dark.png (16-bit pixels" in "\n".join(dataset.summary())) == (not full)
