"""Classify pictures, or their pixels, with the ONNX file of this program's name; onnxruntime, Pillow, NumPy alone.

python model_example.py holiday.jpg drawing.png
"""

import json
import os
import re
import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # which writes to the home of whoever imports the next line
import onnxruntime

onnxruntime.disable_telemetry_events()
options = onnxruntime.SessionOptions()
cpu = Path("/proc/cpuinfo")
if not cpu.exists() or "vnni" not in cpu.read_text(encoding="utf-8"):  # products of int8 files would saturate
    options.add_session_config_entry("session.x64quantprecision", "1")
path = __file__.replace("_example.py", ".onnx")
model = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
metadata = model.get_modelmeta().custom_metadata_map
class_names, preprocessing = json.loads(metadata["class_names"]), json.loads(metadata["preprocessing"])
_, channels, side, _ = model.get_inputs()[0].shape
several = json.loads(metadata["naturalize"]).get("activation") == "sigmoid"  # a picture may have several classes
threshold = 0.0  # least probability of an answer; below it, the picture is none of the classes
least = threshold or 0.5 * several  # of several classes, all are named that reach it
resample = Image.Resampling[preprocessing.get("resample", "bilinear").upper()]


def pixels(path: str) -> np.ndarray:
    """What the network takes, uint8 `(channels, side, side)`, as in training; normalisation is inside the network."""
    file = Image.open(path)
    deep = any(re.search(r";16[BLN]|\('RGB', 65535\)", str(tile[3])) for tile in file.tile)  # 16 bits a colour
    if file.format in ("JPEG", "MPO") and preprocessing.get("jpeg_side"):  # decoded at 1/2, 1/4 or 1/8 of its size
        file.draft(None, (preprocessing["jpeg_side"], preprocessing["jpeg_side"]))
    picture = ImageOps.exif_transpose(file)
    values = np.asarray(picture)
    clear = True  # what white is, by the rules of `naturalize predict`
    if picture.mode.startswith("I"):  # 16 bits a pixel, or 32
        clear = (picture.mode != "I" or file.format in ("PNG", "PPM")) and not 0 < values.max() < 2**14
        values = values >> 8
    elif picture.mode == "F":  # 0..1
        clear = values.min() >= 0 and values.max() <= 1
        values = values * 255
    elif deep and picture.mode.startswith("RGB"):  # of whose 16 bits Pillow keeps the upper 8
        clear = values[..., :3].max() > 2**6
    if not clear:
        sys.exit(f"{path}: nothing says which of its values is white: save it as 8 bit")
    if picture.mode.startswith(("I", "F")):
        picture = Image.fromarray(np.round(values).clip(0, 255).astype(np.uint8))
    if picture.has_transparency_data:
        see_through = picture.convert("RGBA")
        picture = Image.new("RGB", picture.size, "white")
        picture.paste(see_through, mask=see_through.getchannel("A"))
    picture = picture.convert("RGB").convert("L" if channels == 1 else "RGB")
    picture = picture.resize((side, picture.height), resample).resize((side, side), resample)
    return np.ascontiguousarray(np.asarray(picture).reshape(side, side, channels).transpose(2, 0, 1))


if __name__ == "__main__":
    for path in sys.argv[1:]:
        (logits,) = model.run(["logits"], {"pixels": pixels(path)[None]})
        if not np.isfinite(logits).all():
            sys.exit(f"{path}: the network answers with no numbers: its file is damaged, export it again")
        if logits.ndim > 2:  # a class for each pixel, by its value in masks
            values = np.array(json.loads(metadata["naturalize"])["mask_values"], dtype=np.uint8)
            mask, size = Image.fromarray(values[logits[0].argmax(0)]), ImageOps.exif_transpose(Image.open(path)).size
            mask.resize(size, Image.Resampling.NEAREST).save(f"{path}.mask.png")
            print(f"{path}: {path}.mask.png")
            continue
        scores = logits[0].astype(np.float64)
        chances = (1 + np.tanh(scores / 2)) / 2 if several else np.exp(scores - scores.max())
        chances = chances if several else chances / chances.sum()
        likely = [i for i in np.argsort(-scores, kind="stable") if chances[i] >= least]
        answer = ", ".join(class_names[i] for i in (likely if several else likely[:1]))
        print(f"{path}: {answer or 'none of these'}")
