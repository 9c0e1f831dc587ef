"""Int8 files of networks that are unlike the usual ones, and of those that cannot be quantised."""

import copy
import dataclasses
import json
import warnings
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from small_networks import CLASS_NAMES, check_of, make_supernet, network_of

from naturalize.errors import UserError
from naturalize.exporting import FORMATS, Check, Exported, Network, export
from naturalize.supernet import make_family


def made(tmp_path: Path, network: Network, check: Check, calibration: np.ndarray) -> tuple[Exported, np.ndarray]:
    """The exported int8 file, and its logits of the check pictures by onnxruntime alone."""
    done = export(network, tmp_path / "model.onnx", "onnx-int8", check, calibration=lambda: calibration)
    options = onnxruntime.SessionOptions()
    options.add_session_config_entry("session.x64quantprecision", "1")
    session = onnxruntime.InferenceSession(done.path, options, providers=["CPUExecutionProvider"])
    return done, session.run(None, {"pixels": check.pixels})[0]


@pytest.mark.parametrize("name", ["mini", "efficientnet-lite0"])
@pytest.mark.parametrize(("channels", "pictures"), [(1, 40), (1, 1), (3, 2)])
def test_grey_pictures_and_few_of_them_make_int8_files(tmp_path: Path, name: str, channels: int, pictures: int) -> None:
    supernet = make_supernet(make_family(name, 24), channels)
    (smallest,) = supernet.family.space.architectures(supernet.family.space.corners()[:1])
    network = network_of(supernet, smallest)
    check = check_of(network, 40)
    done, logits = made(tmp_path, network, check, check.pixels[:pictures])
    with torch.inference_mode():
        expected = network.subnet(torch.from_numpy(check.pixels)).numpy()
    assert logits.shape == (40, len(CLASS_NAMES))
    assert np.abs(logits - expected).max() == pytest.approx(done.max_difference, rel=1e-3, abs=1e-5)
    assert np.abs(logits - expected).max() < 0.25 * np.ptp(expected, axis=0).max() + 0.1 * np.abs(expected).max()
    metadata = {entry.key: entry.value for entry in onnx.load(done.path).metadata_props}
    assert json.loads(metadata["quantized"])["pictures"] == pictures


def test_a_network_without_numbers_is_refused_in_one_line(
    tmp_path: Path, small: Network, capfd: pytest.CaptureFixture[str]
) -> None:
    damaged = Network(copy.deepcopy(small.subnet), small.card)
    damaged.subnet.layers[0].conv.weight.data[0] = float("nan")
    check = check_of(small)
    with pytest.raises(UserError, match="answers with no numbers, so it cannot be quantised"):
        made(tmp_path, damaged, check, check.pixels)
    assert not list(tmp_path.iterdir())
    assert capfd.readouterr() == ("", "")


def test_what_onnxruntime_cannot_quantise_is_told_in_one_line(
    small: Network, capfd: pytest.CaptureFixture[str]
) -> None:
    from naturalize.exporting.onnx_file import onnx_bytes
    from naturalize.exporting.onnx_int8 import quantized

    damaged = Network(copy.deepcopy(small.subnet), small.card)
    damaged.subnet.layers[0].conv.weight.data[0] = float("nan")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(UserError, match="onnxruntime cannot quantise this network") as caught:
            quantized(onnx_bytes(damaged, 13), "MinMax", check_of(small).pixels)
    assert "\n" not in str(caught.value)
    assert capfd.readouterr() == ("", "")


def test_what_a_format_loses_is_not_called_damage(
    tmp_path: Path, small: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A network that is right always, as its card says; its file is wrong on 40 pictures of 100."""
    check = check_of(small, 100)
    with torch.inference_mode():
        labels = small.subnet(torch.from_numpy(check.pixels)).numpy().argmax(1)
    right = Check(check.pixels, labels)
    told = dataclasses.replace(small, card={**small.card, "val_error": 0.0, "val_images": 200})
    answered = iter(np.split(np.eye(len(CLASS_NAMES), dtype=np.float32)[(labels + (np.arange(100) < 40)) % 5], [64]))
    lossy = dataclasses.replace(
        FORMATS["onnx"], open=lambda path: lambda pixels: next(answered), differs=lambda logits, expected: ""
    )
    monkeypatch.setitem(FORMATS, "lossy", lossy)
    done = export(told, tmp_path / "model.onnx", "lossy", right)
    assert (done.error, done.network_error, done.agreement) == (40.0, 0.0, 60.0)
    assert done.loses_much


@pytest.mark.parametrize(
    ("wrong", "of_network", "images", "loses"),
    [(2, 1, 8, False), (3, 1, 8, False), (4, 1, 8, True), (9, 8, 128, False)],
)
def test_one_picture_more_is_no_loss(wrong: int, of_network: int, images: int, loses: bool) -> None:
    done = Exported(
        Path("m.onnx"), (), 1, "", 100 * wrong / images, images, 0.1, 90.0, network_error=100 * of_network / images
    )
    assert done.loses_much is loses
