import dataclasses
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray
from onnx import numpy_helper
from small_networks import CLASS_NAMES, check_of, make_supernet, network_of

from naturalize.errors import UserError
from naturalize.exporting import FORMATS, Asked, Check, Network, OnnxModel, export
from naturalize.objectives.exact import exact_counts
from naturalize.supernet import FAMILIES, Supernet, make_family
from naturalize.tasks import Classification

TARGETS = ["model.onnx", "model.pt"]


def logits_of(network: Network, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    with torch.inference_mode():
        return network.subnet(torch.from_numpy(pixels)).numpy()


@pytest.mark.parametrize("target", TARGETS)
def test_an_export_says_what_the_file_does(tmp_path: Path, large: Network, target: str) -> None:
    check = check_of(large)
    exported = export(large, tmp_path / target, None, check)
    assert exported.path == tmp_path / target == exported.files[0]
    assert sorted(tmp_path.iterdir()) == sorted(exported.files)
    assert exported.bytes == exported.path.stat().st_size
    assert exported.error == pytest.approx(100 * np.mean(logits_of(large, check.pixels).argmax(1) != check.labels))
    assert exported.images == len(check.labels)
    assert 0 <= exported.max_difference < 1e-4


@pytest.mark.parametrize("name", sorted(FAMILIES))
def test_the_counted_size_is_that_of_the_weights_in_the_file(tmp_path: Path, name: str) -> None:
    family = make_family(name, 32)
    network = network_of(make_supernet(family), family.space.architectures(family.space.corners()[:1])[0])
    path = export(network, tmp_path / "model.onnx", None, check_of(network)).path
    graph = onnx.load(path).graph
    of = {weight.name: numpy_helper.to_array(weight) for weight in graph.initializer}
    weights, biases = (
        [of[node.input[place]] for node in graph.node if node.op_type in ("Conv", "Gemm") and len(node.input) > place]
        for place in (1, 2)
    )
    codes = family.space.corners()[:1]
    counts = exact_counts(family, Classification(len(CLASS_NAMES)), 3)
    assert counts["size"](codes)[0] == sum(each.nbytes for each in (*weights, *biases))
    channels = sum(len(each) for each in (*weights, *biases))  # a scale for each of the first, an int32 of the second
    assert counts["size:int8"](codes)[0] == sum(each.size for each in weights) + 4 * channels


def test_x02_the_outputs_are_logits(tmp_path: Path, large: Network) -> None:
    check = check_of(large)
    path = export(large, tmp_path / "model.onnx", None, check).path
    assert [output.name for output in onnx.load(path).graph.output] == ["logits"]
    np.testing.assert_allclose(OnnxModel(path)(check.pixels), logits_of(large, check.pixels), rtol=1e-4, atol=1e-4)


def test_x03_any_batch_size_gives_the_rows_of_one_by_one(tmp_path: Path, large: Network) -> None:
    check = check_of(large)
    model = OnnxModel(export(large, tmp_path / "model.onnx", None, check).path)
    alone = np.concatenate([model(check.pixels[i : i + 1]) for i in range(7)])
    for batch in (1, 2, 7):
        np.testing.assert_allclose(model(check.pixels[:batch]), alone[:batch], rtol=1e-5, atol=1e-5)


def test_x04_an_onnx_export_is_one_file(tmp_path: Path, small: Network) -> None:
    check = check_of(small)
    path = export(small, tmp_path / "here" / "model.onnx", "onnx", check).path
    moved = tmp_path / "moved.onnx"
    path.rename(moved)
    shutil.rmtree(path.parent)
    assert OnnxModel(moved)(check.pixels).shape == (len(check.pixels), len(CLASS_NAMES))


@pytest.mark.parametrize("opset", [None, 13, 14, 17])
def test_x05_old_runtimes_are_served_and_the_needed_one_is_named(
    tmp_path: Path, large: Network, opset: int | None
) -> None:
    exported = export(large, tmp_path / "model.onnx", None, check_of(large), opset=opset)
    model = onnx.load(exported.path)
    assert [entry.version for entry in model.opset_import] == [opset or 13]
    assert model.ir_version == 7
    assert f"opset {opset or 13}" in exported.needs
    assert {None: "onnxruntime 1.7 ", 13: "1.7 ", 14: "1.8 ", 17: "1.12 "}[opset] in exported.needs


def with_a_wrong_bias(content: bytes) -> bytes:
    model = onnx.load_model_from_string(content)
    bias = next(weight for weight in model.graph.initializer if weight.name == "layers.1.project.conv.bias")
    values = numpy_helper.to_array(bias).copy()
    values[0] += 1
    bias.CopyFrom(numpy_helper.from_array(values, bias.name))
    return model.SerializeToString()


def test_x06_a_wrong_file_is_deleted_and_fails(tmp_path: Path, small: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    right = FORMATS["onnx"]

    def wrong_files(network: Network, name: str, asked: Asked) -> dict[str, bytes]:
        return {name: with_a_wrong_bias(right.files(network, name, asked)[name])}

    monkeypatch.setitem(FORMATS, "onnx", dataclasses.replace(right, files=wrong_files))
    with pytest.raises(UserError, match="not kept"):
        export(small, tmp_path / "model.onnx", None, check_of(small))
    assert not list(tmp_path.iterdir())


def test_x06_a_network_left_in_training_mode_is_exported_with_its_statistics(tmp_path: Path, small: Network) -> None:
    check = check_of(small)
    expected = logits_of(small, check.pixels)
    small.subnet.train()
    try:
        path = export(small, tmp_path / "model.onnx", None, check).path
        assert small.subnet.training
    finally:
        small.subnet.eval()
    np.testing.assert_allclose(OnnxModel(path)(check.pixels), expected, rtol=1e-4, atol=1e-4)


def test_x07_no_false_alarm_over_50_architectures(tmp_path: Path, supernet: Supernet) -> None:
    space = supernet.family.space
    for arch in space.architectures(space.sample_distinct(50, np.random.default_rng(0))):
        network = network_of(supernet, arch)
        export(network, tmp_path / "model.onnx", None, check_of(network, 4), overwrite=True)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("name", [name for name in sorted(FAMILIES) if name != "mini"])
def test_grey_pictures_and_every_family_export(tmp_path: Path, name: str, target: str) -> None:
    supernet = make_supernet(make_family(name, 75), channels=1)
    space = supernet.family.space
    network = network_of(supernet, space.architectures(space.corners())[0])
    assert export(network, tmp_path / target, None, check_of(network, 2)).max_difference < 1e-3


def test_x08_class_names_are_in_the_file_in_order(tmp_path: Path, small: Network) -> None:
    path = export(small, tmp_path / "model.onnx", None, check_of(small)).path
    metadata = {entry.key: entry.value for entry in onnx.load(path).metadata_props}
    assert json.loads(metadata["class_names"]) == CLASS_NAMES
    assert json.loads(metadata["preprocessing"]) == small.card["preprocessing"]
    assert json.loads(metadata["naturalize"]) == small.card
    assert OnnxModel(path).card == small.card


@pytest.mark.parametrize("target", TARGETS)
def test_x09_the_same_network_gives_the_same_bytes(tmp_path: Path, small: Network, large: Network, target: str) -> None:
    reread = Network(small.subnet, json.loads(json.dumps(small.card)))
    first, other, third = (
        export(network, tmp_path / str(index) / target, None, check_of(network))
        for index, network in enumerate((small, large, reread))
    )
    assert [path.read_bytes() for path in first.files] == [path.read_bytes() for path in third.files]
    assert first.path.read_bytes() != other.path.read_bytes()


def test_x09_x13_a_torch_export_loads_without_naturalize_and_without_pickled_code(
    tmp_path: Path, large: Network
) -> None:
    check = check_of(large)
    exported = export(large, tmp_path / "model.pt", None, check)
    np.save(tmp_path / "pixels.npy", check.pixels)
    program = """
import sys
sys.modules["naturalize"] = None
import numpy, torch
from model import load
with torch.inference_mode():
    numpy.save("logits.npy", load("model.pt")(torch.from_numpy(numpy.load("pixels.npy"))).numpy())
"""
    subprocess.run([sys.executable, "-c", program], cwd=tmp_path, check=True, timeout=120)
    np.testing.assert_allclose(np.load(tmp_path / "logits.npy"), logits_of(large, check.pixels), rtol=1e-4, atol=1e-5)
    content = torch.load(exported.path, weights_only=True)
    assert content["card"] == large.card


def test_x10_a_torch_export_holds_the_networks_own_numbers(tmp_path: Path, small: Network) -> None:
    exported = export(small, tmp_path / "model.pt", None, check_of(small))
    weights = torch.load(exported.path, weights_only=True)["state_dict"]
    assert exported.bytes < 4 * sum(value.numel() for value in weights.values()) + 600 * len(weights) + 8192


@pytest.mark.parametrize("target", TARGETS)
def test_x12_no_path_of_this_machine_is_in_an_export(tmp_path: Path, small: Network, target: str) -> None:
    exported = export(small, tmp_path / target, None, check_of(small))
    for content in (path.read_bytes() for path in exported.files):
        for place in (str(tmp_path), str(Path.cwd()), str(Path(torch.__file__).parent), str(Path.home()) + "/"):
            assert place.encode() not in content


def test_repeating_an_export_is_no_conflict_but_replacing_a_file_needs_leave(
    tmp_path: Path, small: Network, large: Network
) -> None:
    target = tmp_path / "model.onnx"
    export(small, target, None, check_of(small))
    export(small, target, None, check_of(small))
    before = target.read_bytes()
    with pytest.raises(UserError, match=r"model\.onnx is there already"):
        export(large, target, None, check_of(large))
    assert target.read_bytes() == before
    export(large, target, None, check_of(large), overwrite=True)
    assert target.read_bytes() != before


def test_a_module_of_the_users_own_is_not_replaced(tmp_path: Path, small: Network) -> None:
    (tmp_path / "model.py").write_text("mine = True\n")
    with pytest.raises(UserError, match=r"model\.py is there already"):
        export(small, tmp_path / "net.pt", None, check_of(small))
    assert [path.name for path in tmp_path.iterdir()] == ["model.py"]


@pytest.mark.parametrize(
    ("target", "format", "message"),
    [
        ("model.onnx", "onx", "did you mean onnx"),
        ("model", None, "does not end"),
        ("model.weights", None, r"\.onnx \(onnx\), \.pt \(torch\)"),
        ("model.pt", "onnx", r"\.onnx \(onnx\)$"),
        ("taken.onnx", None, "is a directory"),
        ("file/model.onnx", None, "no directory"),
        ("file/deeper/model.onnx", None, "no directory"),
    ],
)
def test_targets_that_cannot_be_are_named(
    tmp_path: Path, small: Network, target: str, format: str | None, message: str
) -> None:
    (tmp_path / "taken.onnx").mkdir()
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=message):
        export(small, tmp_path / target, format, check_of(small))


def test_opsets_that_cannot_be_written_are_refused(tmp_path: Path, small: Network) -> None:
    with pytest.raises(UserError, match="choose 13 to 17"):
        export(small, tmp_path / "model.onnx", None, check_of(small), opset=25)
    with pytest.raises(UserError, match="only ONNX"):
        export(small, tmp_path / "model.pt", None, check_of(small), opset=13)


def test_an_export_is_not_checked_on_nothing() -> None:
    with pytest.raises(ValueError, match="without pictures"):
        Check(np.zeros((0, 3, 8, 8), np.uint8), np.zeros(0, np.int64))


def test_files_that_are_not_ours_are_named(tmp_path: Path, small: Network, capfd: pytest.CaptureFixture[str]) -> None:
    foreign = tmp_path / "foreign.onnx"
    model = onnx.load(export(small, tmp_path / "model.onnx", None, check_of(small)).path)
    del model.metadata_props[:]
    onnx.save(model, foreign)
    (tmp_path / "text.onnx").write_text("not a model")
    for name in ("foreign.onnx", "text.onnx", "missing.onnx"):
        with pytest.raises(UserError, match=name):
            OnnxModel(tmp_path / name)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("target", TARGETS)
def test_X11_an_export_far_worse_than_its_card_is_not_kept(tmp_path: Path, small: Network, target: str) -> None:
    check = check_of(small, 100)
    right = Check(check.pixels, logits_of(small, check.pixels).argmax(1))
    half = Check(check.pixels, np.where(np.arange(100) < 50, right.labels, (right.labels + 1) % len(CLASS_NAMES)))
    told = dataclasses.replace(small, card={**small.card, "val_error": 0.0, "val_images": 200})
    with pytest.raises(UserError, match=r"50 of 100 check pictures are wrong where .* tells of 0\.0% on validation"):
        export(told, tmp_path / target, None, half)
    assert not list(tmp_path.iterdir())
    assert export(told, tmp_path / target, None, right).error == 0.0
    fair = dataclasses.replace(small, card={**small.card, "val_error": 45.0, "val_images": 40})
    assert export(fair, tmp_path / target, None, half, overwrite=True).error == 50.0


def halved(network: Network, name: str, asked: Asked) -> dict[str, bytes]:
    """A lossy relative of ONNX files: weights in half precision, which pictures have to be there for."""
    assert asked.calibration is not None
    model = onnx.load_from_string(FORMATS["onnx"].files(network, name, asked)[name])
    for tensor in model.graph.initializer:
        values = numpy_helper.to_array(tensor)
        if values.dtype == np.float32:
            tensor.CopyFrom(numpy_helper.from_array(values.astype(np.float16).astype(np.float32), tensor.name))
    return {name: model.SerializeToString()}


@pytest.fixture
def lossy(monkeypatch: pytest.MonkeyPatch) -> str:
    """A second format of the suffix .onnx, which calibrates and may differ."""
    kind = dataclasses.replace(FORMATS["onnx"], files=halved, calibrates=True, differs=lambda logits, expected: "")
    monkeypatch.setitem(FORMATS, "half", kind)
    return "half"


def test_two_formats_of_one_suffix_are_told_apart_by_name(tmp_path: Path, small: Network, lossy: str) -> None:
    check = check_of(small)
    plain = export(small, tmp_path / "plain.onnx", None, check)
    named = export(small, tmp_path / "named.onnx", "onnx", check)
    half = export(small, tmp_path / "half.onnx", lossy, check, calibration=lambda: check.pixels)
    assert plain.path.read_bytes() == named.path.read_bytes() != half.path.read_bytes()
    assert plain.max_difference < half.max_difference
    with pytest.raises(UserError, match=r"does not end as the exported file has to: \.onnx \(half\)$"):
        export(small, tmp_path / "model.pt", lossy, check)


@pytest.mark.parametrize("calibration", [None, lambda: np.empty((0, 1, 8, 8), np.uint8)])
def test_a_format_that_calibrates_wants_pictures(tmp_path: Path, small: Network, lossy: str, calibration) -> None:
    with pytest.raises(UserError, match="the format half is calibrated on training pictures, and the run keeps none"):
        export(small, tmp_path / "half.onnx", lossy, check_of(small), calibration=calibration)
    assert not list(tmp_path.iterdir())
