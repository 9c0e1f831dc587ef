import io
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from small_networks import CLASS_NAMES, check_of, make_supernet, network_of

from naturalize.data import Preprocessing, read_picture
from naturalize.exporting import OnnxModel, export
from naturalize.predicting import open_model, predict_with
from naturalize.supernet import make_family

RNG = np.random.default_rng(0)
COLOURS = RNG.integers(0, 256, (40, 50, 4), dtype=np.uint8)
DEEP = RNG.integers(0, 65536, (40, 50), dtype=np.uint16)


def turned(path: Path, size: tuple[int, int] = (50, 40)) -> None:
    picture = Image.fromarray(COLOURS[..., :3]).resize(size)
    exif = picture.getexif()
    exif[0x112] = 6
    picture.save(path, exif=exif)


PICTURES: dict[str, Callable[[Path], None]] = {
    "colour.png": lambda path: Image.fromarray(COLOURS[..., :3]).save(path),
    "transparent.png": lambda path: Image.fromarray(COLOURS).save(path),
    "grey.png": lambda path: Image.fromarray(COLOURS[..., 0]).save(path),
    "grey transparent.png": lambda path: Image.fromarray(COLOURS[..., :2]).save(path),
    "palette.gif": lambda path: Image.fromarray(COLOURS[..., :3]).quantize(16).save(path),
    "palette transparent.png": lambda path: Image.fromarray(COLOURS[..., :3]).quantize(16).save(path, transparency=3),
    "two levels.png": lambda path: Image.fromarray(COLOURS[..., 0] > 128).save(path),
    "deep.png": lambda path: Image.fromarray(DEEP).save(path),
    "deep.tiff": lambda path: Image.fromarray(DEEP).save(path),
    "float.tiff": lambda path: Image.fromarray(np.float32(DEEP) / 65535).save(path),
    "turned.jpg": turned,
    "cmyk.jpg": lambda path: Image.fromarray(COLOURS, "CMYK").save(path),
    "large.jpg": lambda path: Image.fromarray(COLOURS[..., :3]).resize((500, 460)).save(path),
    "large turned.jpg": lambda path: turned(path, (2000, 1500)),
    "large.png": lambda path: Image.fromarray(COLOURS[..., :3]).resize((500, 460)).save(path),
}


@pytest.mark.parametrize("reduces", [True, False])
@pytest.mark.parametrize("channels", [1, 3])
def test_x01_the_example_reproduces_predictions_without_naturalize(
    tmp_path: Path, channels: int, reduces: bool
) -> None:
    supernet = make_supernet(make_family("mini", 32), channels)
    space = supernet.family.space
    network = network_of(supernet, space.architectures(space.corners())[0])
    if not reduces:  # as cards were before JPEGs were reduced
        del network.card["preprocessing"]["jpeg_side"]
    exported = export(network, tmp_path / "my model.onnx", None, check_of(network))
    for name, save in PICTURES.items():
        save(tmp_path / name)
    # the example's own lines, and then what its pixels are to the bit
    program = """
import sys
sys.modules["naturalize"] = None
import numpy, runpy
example = runpy.run_path("my model_example.py", run_name="__main__")
numpy.save("pixels.npy", numpy.stack([example["pixels"](path) for path in sys.argv[1:]]))
"""
    done = subprocess.run(
        [sys.executable, "-c", program, *PICTURES],
        cwd=tmp_path,
        check=True,
        timeout=120,
        capture_output=True,
        text=True,
    )
    preprocessing = Preprocessing.from_card(network.card["preprocessing"])
    side = 224 if reduces else None
    pixels = np.stack([preprocessing(read_picture(tmp_path / name, jpeg_side=side)) for name in PICTURES])
    large = [*PICTURES].index("large.jpg")
    other = preprocessing(read_picture(tmp_path / "large.jpg", jpeg_side=None if reduces else 224))
    assert not np.array_equal(pixels[large], other)
    for name, ours, theirs in zip(PICTURES, pixels, np.load(tmp_path / "pixels.npy"), strict=True):
        assert np.array_equal(ours, theirs), name
    predictions = predict_with(open_model(exported.path), [tmp_path / name for name in PICTURES])
    assert done.stdout.splitlines() == [f"{name}: {row.name}" for name, row in zip(PICTURES, predictions, strict=True)]
    model = OnnxModel(exported.path)
    classes = [CLASS_NAMES[model(row[None])[0].argmax()] for row in pixels]
    assert done.stdout.splitlines() == [f"{name}: {label}" for name, label in zip(PICTURES, classes, strict=True)]
    assert done.stderr == ""


def test_D24_damaged_metadata_of_a_good_photograph_are_no_news(tmp_path: Path) -> None:
    two_entries_of_which_one_is_there = b"Exif\0\0II*\0\x08\0\0\0\x02\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0"
    Image.fromarray(COLOURS[..., :3]).save(tmp_path / "odd.jpg", exif=two_entries_of_which_one_is_there)
    with pytest.warns(UserWarning, match="EXIF"):
        Image.open(io.BytesIO((tmp_path / "odd.jpg").read_bytes())).getexif()
    supernet = make_supernet(make_family("mini", 32), 3)
    network = network_of(supernet, supernet.family.space.architectures(supernet.family.space.corners())[0])
    model = open_model(export(network, tmp_path / "model.onnx", None, check_of(network)).path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        (row,) = predict_with(model, [tmp_path / "odd.jpg"])
    assert row.error is None
    assert row.name in CLASS_NAMES
