"""Classify pictures with the ONNX file of this program's name, by onnxruntime, Pillow and NumPy alone.

python model_example.py holiday.jpg drawing.png
"""

import json
import sys

import numpy as np
import onnxruntime
from PIL import Image, ImageOps

model = onnxruntime.InferenceSession(__file__.replace("_example.py", ".onnx"), providers=["CPUExecutionProvider"])
metadata = model.get_modelmeta().custom_metadata_map
class_names, preprocessing = json.loads(metadata["class_names"]), json.loads(metadata["preprocessing"])
_, channels, side, _ = model.get_inputs()[0].shape
resample = Image.Resampling[preprocessing.get("resample", "bilinear").upper()]


def pixels(path: str) -> np.ndarray:
    """What the network takes, uint8 `(channels, side, side)`, as in training; normalisation is inside the network."""
    file = Image.open(path)
    if file.format in ("JPEG", "MPO") and preprocessing.get("jpeg_side"):  # decoded at 1/2, 1/4 or 1/8 of its size
        file.draft(None, (preprocessing["jpeg_side"], preprocessing["jpeg_side"]))
    picture = ImageOps.exif_transpose(file)
    if picture.mode.startswith("I"):  # 16 bits a pixel
        picture = Image.fromarray((np.asarray(picture) >> 8).clip(0, 255).astype(np.uint8))
    elif picture.mode == "F":  # 0..1
        picture = Image.fromarray(np.round(np.asarray(picture) * 255).astype(np.uint8))
    elif picture.has_transparency_data:
        see_through = picture.convert("RGBA")
        picture = Image.new("RGB", picture.size, "white")
        picture.paste(see_through, mask=see_through.getchannel("A"))
    picture = picture.convert("RGB").convert("L" if channels == 1 else "RGB")
    picture = picture.resize((side, picture.height), resample).resize((side, side), resample)
    return np.ascontiguousarray(np.asarray(picture).reshape(side, side, channels).transpose(2, 0, 1))


if __name__ == "__main__":
    for path in sys.argv[1:]:
        (logits,) = model.run(["logits"], {"pixels": pixels(path)[None]})
        print(f"{path}: {class_names[logits.argmax()]}")
