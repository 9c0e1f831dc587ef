import io
import os
import struct
import subprocess
import sys
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, PngImagePlugin
from small_networks import CLASS_NAMES, check_of, make_supernet, network_of

from naturalize.data import Preprocessing, read_picture
from naturalize.exporting import Network, OnnxModel, export
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


def test_the_example_has_the_threshold_of_predict(tmp_path: Path, small: Network) -> None:
    exported = export(small, tmp_path / "model.onnx", None, check_of(small))
    files = [tmp_path / name for name in PICTURES if name.endswith("png")]
    for file in files:
        PICTURES[file.name](file)
    probabilities = sorted(row.probability or 0.0 for row in predict_with(open_model(exported.path), files))
    threshold = (probabilities[0] + probabilities[-1]) / 2
    example = tmp_path / "model_example.py"
    text = example.read_text(encoding="utf-8")
    assert text.count("threshold = 0.0") == 1
    example.write_text(text.replace("threshold = 0.0", f"threshold = {threshold}"), encoding="utf-8")
    done = subprocess.run([sys.executable, example, *files], check=True, timeout=120, capture_output=True, text=True)
    rows = predict_with(open_model(exported.path), files, threshold=threshold)
    answers = [row.name or "none of these" for row in rows]
    assert 0 < answers.count("none of these") < len(answers)
    assert [line.rpartition(": ")[2] for line in done.stdout.splitlines()] == answers


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


def deep_colours(path: Path, bits: int) -> None:
    """A PNG file of 16 bits a colour, of which so many are used. Pillow reads such files and writes none."""
    rows = (COLOURS[..., :3].astype(">u2") * 257) >> (16 - bits)
    with path.open("wb") as file:
        file.write(b"\x89PNG\r\n\x1a\n")
        PngImagePlugin.putchunk(file, b"IHDR", struct.pack(">IIBBBBB", 50, 40, 16, 2, 0, 0, 0))
        content = b"".join(b"\0" + row.astype(">u2").tobytes() for row in rows)
        PngImagePlugin.putchunk(file, b"IDAT", zlib.compress(content))
        PngImagePlugin.putchunk(file, b"IEND", b"")


DOUBTFUL: dict[str, Callable[[Path], None]] = {
    "12 bits.png": lambda path: Image.fromarray(DEEP >> 4).save(path),
    "14 bits.tiff": lambda path: Image.fromarray(DEEP >> 2).save(path),
    "14 bits.ppm": lambda path: Image.fromarray(DEEP >> 2).save(path),
    "12 bits of colour.png": lambda path: deep_colours(path, 12),
    "14 bits of colour.png": lambda path: deep_colours(path, 14),
    "32 bits.tiff": lambda path: Image.fromarray(DEEP.astype(np.int32)).save(path),
    "float.tiff": lambda path: Image.fromarray(np.float32(DEEP)).save(path),
    "float nan.tiff": lambda path: Image.fromarray(np.full((4, 4), np.nan, np.float32)).save(path),
}
CLEAR: dict[str, Callable[[Path], None]] = {
    "deep.ppm": lambda path: Image.fromarray(DEEP).save(path),
    "black.png": lambda path: Image.fromarray(0 * DEEP).save(path),
    "dark.png": lambda path: Image.fromarray(COLOURS[..., 0] >> 5).save(path),
    "16 bits of colour.png": lambda path: deep_colours(path, 16),
}


def run(program: str, folder: Path, *names: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", program, *names]
    env = os.environ | {"ORT_DISABLE_TELEMETRY": "1"}
    return subprocess.run(command, cwd=folder, env=env, timeout=120, capture_output=True, text=True)


def test_N16_the_example_refuses_what_predict_refuses(tmp_path: Path, small: Network) -> None:
    model = open_model(export(small, tmp_path / "model.onnx", None, check_of(small)).path)
    files = DOUBTFUL | CLEAR
    for name, save in files.items():
        save(tmp_path / name)
    program = """
import sys
sys.modules["naturalize"] = None
import numpy, runpy
example = runpy.run_path("model_example.py")
for number, path in enumerate(sys.argv[1:]):
    try:
        numpy.save(f"{number}.npy", example["pixels"](path))
    except SystemExit as stop:
        print(stop)
"""
    done = run(program, tmp_path, *files)
    assert done.stderr == ""
    why = "nothing says which of its values is white: save it as 8 bit"
    assert done.stdout.splitlines() == [f"{name}: {why}" for name in DOUBTFUL]
    rows = predict_with(model, [tmp_path / name for name in files])
    assert [name for name, row in zip(files, rows, strict=True) if row.error is not None] == [*DOUBTFUL]
    preprocessing = Preprocessing.from_card(small.card["preprocessing"])
    for number, name in enumerate(files):
        if name in CLEAR:
            ours = preprocessing(read_picture(tmp_path / name))
            assert np.array_equal(ours, np.load(tmp_path / f"{number}.npy")), name


def test_N04_the_example_writes_nothing_to_the_users_home(tmp_path: Path, small: Network) -> None:
    export(small, tmp_path / "model.onnx", None, check_of(small))
    Image.fromarray(COLOURS).save(tmp_path / "colour.png")
    (tmp_path / "home").mkdir()
    env = {name: value for name, value in os.environ.items() if not name.startswith(("XDG_", "ORT_"))}
    command = [sys.executable, "model_example.py", "colour.png"]
    env["HOME"] = str(tmp_path / "home")
    done = subprocess.run(command, cwd=tmp_path, env=env, timeout=120, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("colour.png: ")
    assert list((tmp_path / "home").rglob("*")) == []


@pytest.mark.parametrize("value", ["nan", "inf"])
def test_X11_the_example_names_no_class_where_the_network_answers_with_no_numbers(
    tmp_path: Path, small: Network, value: str
) -> None:
    export(small, tmp_path / "model.onnx", None, check_of(small))
    Image.fromarray(COLOURS).save(tmp_path / "colour.png")
    program = """
import sys
import numpy, onnxruntime, runpy
class Damaged(onnxruntime.InferenceSession):
    def run(self, *asked):
        return [numpy.array([[0, float("VALUE"), 1, 2, 3]], dtype=numpy.float32)]
onnxruntime.InferenceSession = Damaged
runpy.run_path("model_example.py", run_name="__main__")
"""
    done = run(program.replace("VALUE", value), tmp_path, "colour.png")
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr == "colour.png: the network answers with no numbers: its file is damaged, export it again\n"
