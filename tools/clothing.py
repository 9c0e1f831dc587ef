"""Make the embedded data set `clothing`: photographs of clothes with a short side of 96 px.

    python tools/clothing.py --data ../shared/data

The source is clothing-dataset-small (Alexey Grigorev and contributors, CC0 1.0;
github.com/alexeygrigorev/clothing-dataset-small). Photographs are scaled down and stored as JPEG again; rows and labels
stay as they are.
"""

import argparse
import io
from pathlib import Path

import datasets
from PIL import Image

from naturalize.data.readers import embedded

SIDE = 96
QUALITY = 80


def scaled(picture: Image.Image) -> bytes:
    """A JPEG with a short side of `SIDE`."""
    picture = picture.convert("RGB")
    share = SIDE / min(picture.size)
    size = (round(picture.width * share), round(picture.height * share))
    content = io.BytesIO()
    picture.resize(size, Image.Resampling.LANCZOS, reducing_gap=3).save(content, "JPEG", quality=QUALITY, optimize=True)
    return content.getvalue()


def main() -> None:
    """Write both splits."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    asked = parser.parse_args()
    for split in ("train", "test"):
        file = str(asked.data / f"clothing-{split}.parquet")
        table = datasets.load_dataset("parquet", data_files=file, split="train")
        features = datasets.Features({"image": datasets.Image(), "label": table.features["label"]})
        rows = [{"image": {"bytes": scaled(row["image"])}, "label": row["label"]} for row in table]
        path = embedded.FILES / f"clothing-{split}.parquet"
        datasets.Dataset.from_list(rows, features=features).to_parquet(path)
        print(f"{path.name}: {len(rows)} photographs, {path.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
