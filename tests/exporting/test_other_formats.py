"""Formats of other runtimes: each file is run by its own runtime, where that is installed."""

import dataclasses
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from small_networks import check_of, make_supernet, network_of

from naturalize.errors import UserError
from naturalize.exporting import FORMATS, TOLERANCE, Asked, Check, Exported, Network, export
from naturalize.exporting.openvino_file import compiled, converted
from naturalize.supernet import make_family

LIBRARIES = {
    "torch-export": [],
    "openvino": ["openvino"],
    "ncnn": ["pnnx", "ncnn"],
    "openvino-int8": ["nncf", "openvino"],
    "executorch": ["executorch"],
    "litert": ["litert_torch", "ai_edge_litert"],
    "coreml": ["coremltools"],
}
FLOAT = ("torch-export", "openvino", "ncnn", "executorch", "litert")  # that can be run here
SLOW = ("executorch", "litert", "coreml")  # to write


def needs(format: str) -> pytest.MarkDecorator:
    """Skip a test where a library of a format is not installed."""
    missing = [name for name in LIBRARIES[format] if importlib.util.find_spec(name) is None]
    return pytest.mark.skipif(bool(missing), reason=f"{format}: {', '.join(missing)} is not installed")


def each(formats) -> list:
    marks = {name: [needs(name), *([pytest.mark.slow] if name in SLOW else [])] for name in formats}
    return [pytest.param(name, marks=marks[name]) for name in formats]


def logits_of(network: Network, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    with torch.inference_mode():
        return network.subnet(torch.from_numpy(pixels)).numpy()


def off_by(logits: NDArray[np.float32], expected: NDArray[np.float32]) -> float:
    """The largest difference over the largest logit: what `TOLERANCE` is about."""
    return float(np.abs(logits - expected).max() / np.abs(expected).max())


@pytest.fixture(scope="session")
def written(tmp_path_factory: pytest.TempPathFactory, networks: tuple[Network, Network]):
    """The smallest network in a format, written once for all tests: a function."""
    kept: dict[str, Exported] = {}

    def of(format: str) -> Exported:
        if format not in kept:
            to = tmp_path_factory.mktemp(format) / f"model{FORMATS[format].suffix}"
            kept[format] = export(networks[0], to, format, check_of(networks[0], 60))
        return kept[format]

    return of


@pytest.mark.parametrize("format", each(FLOAT))
def test_a_float_file_answers_as_its_network_whatever_the_number_of_pictures(
    written, small: Network, format: str
) -> None:
    done, pixels = written(format), check_of(small, 7).pixels
    assert done.agreement == 100.0
    assert done.error == done.network_error
    assert done.max_difference is not None
    assert 0 <= done.max_difference < 1e-4
    answer = FORMATS[format].open(done.path)
    for number in (1, 2, 7):
        assert off_by(answer(pixels[:number]), logits_of(small, pixels[:number])) < 1e-5


@pytest.mark.parametrize("format", each((*FLOAT, "coreml")))
def test_the_same_network_gives_the_same_bytes_and_none_tells_of_this_machine(
    tmp_path: Path, written, supernet, small: Network, format: str
) -> None:
    first = written(format)
    arch = supernet.family.space.parse(small.card["architecture"])
    again = export(network_of(supernet, arch), tmp_path / first.path.name, format, check_of(small, 60))
    assert [path.name for path in again.files] == [path.name for path in first.files]
    for one, other in zip(first.files, again.files, strict=True):
        assert one.read_bytes() == other.read_bytes()
        for place in (
            tempfile.gettempdir() + "/",
            str(Path(torch.__file__).parent),
            str(Path.home()) + "/",
            str(Path.cwd()),
        ):
            assert place.encode() not in one.read_bytes()


@pytest.mark.parametrize("format", each(FLOAT))
def test_the_card_is_beside_the_file_with_what_the_check_came_to(written, small: Network, format: str) -> None:
    done = written(format)
    path = done.path.with_name(done.path.name + ".json")
    assert path in done.files
    assert sorted(done.path.parent.iterdir()) == sorted(done.files)
    card = json.loads(path.read_text(encoding="utf-8"))
    facts = card.pop("exported")
    assert card == small.card
    assert facts["format"] == format
    assert facts["needs"] == done.needs
    assert (facts["images"], facts["agreement"], facts["error"]) == (60, 100.0, done.error)


@pytest.mark.parametrize("format", each(("openvino", "ncnn")))
def test_the_size_is_that_of_both_files(written, format: str) -> None:
    done = written(format)
    weights = done.path.with_suffix(".bin")
    assert done.bytes == done.path.stat().st_size + weights.stat().st_size


def test_a_pt2_file_runs_without_naturalize(tmp_path: Path, written, small: Network) -> None:
    check = check_of(small, 3)
    np.save(tmp_path / "pixels.npy", check.pixels)
    program = f"""
import sys
sys.modules["naturalize"] = None
import numpy, torch
module = torch.export.load({str(written("torch-export").path)!r}).module()
numpy.save("logits.npy", module(torch.from_numpy(numpy.load("pixels.npy"))).detach().numpy())
"""
    subprocess.run([sys.executable, "-c", program], cwd=tmp_path, check=True, timeout=120)
    assert off_by(np.load(tmp_path / "logits.npy"), logits_of(small, check.pixels)) < 1e-5


@pytest.mark.parametrize(
    ("format", "module", "extra"),
    [
        ("openvino", "openvino", "openvino"),
        ("openvino-int8", "nncf", "openvino"),
        ("ncnn", "pnnx", "ncnn"),
        ("executorch", "executorch.exir", "executorch"),
        ("litert", "litert_torch", "litert"),
        ("coreml", "coremltools", "coreml"),
    ],
)
def test_a_missing_library_is_told_in_a_line_with_the_extra(
    tmp_path: Path, small: Network, monkeypatch: pytest.MonkeyPatch, format: str, module: str, extra: str
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    check = check_of(small)
    with pytest.raises(
        UserError, match=rf"^{module.partition('.')[0]} is not installed .*pip install 'naturalize\[{extra}\]'$"
    ):
        export(small, tmp_path / f"m{FORMATS[format].suffix}", format, check, calibration=lambda: check.pixels)
    assert not list(tmp_path.iterdir())


def test_a_card_of_another_file_is_not_replaced(tmp_path: Path, small: Network) -> None:
    (tmp_path / "model.pt2.json").write_text("mine")
    with pytest.raises(UserError, match=r"model\.pt2\.json is there already"):
        export(small, tmp_path / "model.pt2", None, check_of(small))
    assert [path.name for path in tmp_path.iterdir()] == ["model.pt2.json"]


@pytest.mark.parametrize("target", ["model.pt2", "model.xml", "model.param"])
def test_only_onnx_files_have_an_opset(tmp_path: Path, small: Network, target: str) -> None:
    with pytest.raises(UserError, match="only ONNX files have an opset"):
        export(small, tmp_path / target, None, check_of(small), opset=13)


@pytest.mark.slow
@needs("openvino-int8")
def test_an_int8_file_of_openvino_is_a_quarter_as_large_and_mostly_agrees(tmp_path: Path, large: Network) -> None:
    check = check_of(large, 64)
    labels = logits_of(large, check.pixels).argmax(1)
    right = Check(check.pixels, labels)
    plain = export(large, tmp_path / "float.xml", None, right)
    int8 = export(large, tmp_path / "int8.xml", "openvino-int8", right, calibration=lambda: check.pixels)
    assert int8.bytes < 0.5 * plain.bytes
    assert plain.agreement == 100.0
    assert int8.agreement is not None
    assert int8.agreement >= 80
    assert int8.error == pytest.approx(100 - int8.agreement)
    assert int8.max_difference > plain.max_difference


@needs("openvino-int8")
def test_openvino_and_nncf_write_nothing_to_the_users_home(tmp_path: Path) -> None:
    program = """
from naturalize.exporting.openvino_file import openvino_library
openvino_library("openvino"), openvino_library("nncf")
"""
    subprocess.run([sys.executable, "-c", program], env={**os.environ, "HOME": str(tmp_path)}, check=True, timeout=200)
    assert not list(tmp_path.iterdir())


@pytest.fixture(scope="module")
def lite0() -> Network:
    """The largest EfficientNet-Lite0 of 96 px: as deep as networks that are deployed."""
    family = make_family("efficientnet-lite0", 96)
    return network_of(make_supernet(family), family.space.largest)


@needs("openvino")
def test_openvinos_defaults_would_miss_the_tolerance_and_our_file_has_full_weights(
    tmp_path: Path, lite0: Network
) -> None:
    """Weights are saved in half precision, and bfloat16 is computed in where the CPU has it, unless told otherwise."""
    import openvino

    pixels = check_of(lite0, 8).pixels
    expected = logits_of(lite0, pixels)
    openvino.save_model(converted(lite0), tmp_path / "default.xml")
    halved = compiled(tmp_path / "default.xml", 1).infer({0: pixels})[0]
    assert off_by(halved, expected) > TOLERANCE
    for name, content in FORMATS["openvino"].files(lite0, "ours.xml", Asked()).items():
        (tmp_path / name).write_bytes(content)
    ours = compiled(tmp_path / "ours.xml", 1).infer({0: pixels})[0]
    assert off_by(ours, expected) < 0.1 * TOLERANCE
    assert (tmp_path / "ours.bin").stat().st_size > 1.9 * (tmp_path / "default.bin").stat().st_size
    core = openvino.Core()
    unasked = core.compile_model(tmp_path / "ours.xml", "CPU")
    if "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        assert off_by(unasked(pixels)[0], expected) > TOLERANCE


@needs("ncnn")
def test_pnnxs_default_would_miss_the_tolerance_and_our_file_has_full_weights(tmp_path: Path, lite0: Network) -> None:
    import pnnx

    from naturalize.exporting.ncnn_file import load_ncnn
    from naturalize.exporting.torch_export_file import folded, pixels_like

    pixels = check_of(lite0, 3).pixels
    expected = logits_of(lite0, pixels)
    pnnx.export(folded(lite0), str(tmp_path / "default.pt"), pixels_like(lite0, 1, torch.float32))
    answers = load_ncnn(tmp_path / "default.ncnn.param", 1)
    halved = np.stack([answers(picture) for picture in pixels.astype(np.float32)])
    assert off_by(halved, expected) > TOLERANCE
    for name, content in FORMATS["ncnn"].files(lite0, "ours.param", Asked()).items():
        (tmp_path / name).write_bytes(content)
    assert off_by(FORMATS["ncnn"].open(tmp_path / "ours.param")(pixels), expected) < 0.1 * TOLERANCE
    assert (tmp_path / "ours.bin").stat().st_size > 1.9 * (tmp_path / "default.ncnn.bin").stat().st_size


@needs("openvino")
def test_a_file_of_half_precision_is_refused_and_nothing_is_kept(
    tmp_path: Path, lite0: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    import openvino

    def halved(network: Network, name: str, asked: Asked) -> dict[str, bytes]:
        openvino.save_model(converted(network), tmp_path / "half" / name)
        return {path.name: path.read_bytes() for path in sorted((tmp_path / "half").iterdir(), reverse=True)}

    monkeypatch.setitem(FORMATS, "openvino", dataclasses.replace(FORMATS["openvino"], files=halved))
    (tmp_path / "here").mkdir()
    with pytest.raises(UserError, match="was not kept: on 8 check pictures its outputs differ"):
        export(lite0, tmp_path / "here" / "model.xml", None, check_of(lite0, 8))
    assert not list((tmp_path / "here").iterdir())


def test_a_format_that_cannot_be_run_here_says_so_and_invents_no_agreement(
    tmp_path: Path, small: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = dataclasses.replace(FORMATS["torch-export"], open="it runs on the moon alone")
    monkeypatch.setitem(FORMATS, "torch-export", elsewhere)
    done = export(small, tmp_path / "model.pt2", None, check_of(small))
    assert done.not_run == "it runs on the moon alone"
    assert (done.error, done.agreement, done.max_difference) == (None, None, None)
    facts = json.loads((tmp_path / "model.pt2.json").read_text())["exported"]
    assert facts["not_run"] == "it runs on the moon alone"
    assert not {"agreement", "error", "images"} & facts.keys()
    assert facts["network_error"] == done.network_error


@pytest.mark.slow
@needs("coreml")
def test_a_package_of_core_ml_has_float32_weights_and_says_that_it_was_not_run(
    tmp_path: Path, written, small: Network, large: Network
) -> None:
    import coremltools

    done = written("coreml")
    assert "macOS" in done.not_run
    assert done.agreement is None
    weights = sum(value.numel() for value in small.subnet.parameters())
    assert 3.5 * weights < done.bytes < 6 * weights  # halves, which are the default, would be 2 bytes each
    spec = coremltools.models.MLModel(str(done.path), skip_model_load=True).get_spec()
    (taken,), (given,) = spec.description.input, spec.description.output
    assert (taken.name, given.name) == ("pixels", "logits")
    assert list(taken.type.multiArrayType.shape) == [1, 3, small.card["resolution"], small.card["resolution"]]
    facts = json.loads(done.path.with_name(done.path.name + ".json").read_text(encoding="utf-8"))["exported"]
    assert facts["not_run"] == done.not_run
    before = {path: path.read_bytes() for path in done.path.rglob("*") if path.is_file()}
    with pytest.raises(UserError, match="is there already"):
        export(large, done.path, None, check_of(large))
    assert before == {path: path.read_bytes() for path in done.path.rglob("*") if path.is_file()}


def test_a_package_is_whole_before_its_manifest_is_there(
    tmp_path: Path, small: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = {"m.mlpackage/Manifest.json": b"{}", "m.mlpackage/Data/a": b"aa", "m.mlpackage/Data/b/c": b"ccc"}
    package = dataclasses.replace(FORMATS["coreml"], files=lambda network, name, asked: parts)
    monkeypatch.setitem(FORMATS, "coreml", package)
    order: list[str] = []

    def write(path: Path, content: bytes) -> None:
        order.append(path.name)
        path.write_bytes(content)

    monkeypatch.setattr("naturalize.exporting.write_bytes", write)
    done = export(small, tmp_path / "m.mlpackage", None, check_of(small))
    assert order == ["m.mlpackage.json", "c", "a", "Manifest.json"]
    assert done.bytes == 7
    assert {str(path.relative_to(tmp_path)) for path in done.files} == {*parts, "m.mlpackage.json"}
    export(small, tmp_path / "m.mlpackage", None, check_of(small))  # the same again is no conflict
