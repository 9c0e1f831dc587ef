"""Pictures with masks: in tables, in two folders, as arrays; what their values mean, and masks that are wrong."""

import io

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pictures import needs_shared
from PIL import Image

from naturalize.data import open_data
from naturalize.data.masks import IGNORED, palette
from naturalize.data.parts import SPLITS
from naturalize.errors import UserError


def scene(row, size=(32, 24)):
    """A grey picture and its mask: class `row % 3 + 1` in the upper half, 0 below."""
    picture = Image.new("RGB", size, (row * 3 % 256, 100, 200))
    mask = np.zeros(size[::-1], np.uint8)
    mask[: size[1] // 2] = row % 3 + 1
    return picture, mask


def png(values):
    file = io.BytesIO()
    (values if isinstance(values, Image.Image) else Image.fromarray(values)).save(file, "PNG")
    return file.getvalue()


def pairs(root, n=12, images="images", masks="masks", ending="", change=lambda row, mask: mask):
    for folder in (root / images, root / masks):
        folder.mkdir(parents=True, exist_ok=True)
    for row in range(n):
        picture, mask = scene(row)
        picture.save(root / images / f"{row:02d}.jpg")
        (root / masks / f"{row:02d}{ending}.png").write_bytes(png(change(row, mask)))
    return root


def table(path, n=12, mask="mask", without=()):
    rows = [scene(row) for row in range(n)]
    columns = {
        "image": [{"bytes": png(picture), "path": None} for picture, _ in rows],
        mask: [
            None if row in without else {"bytes": png(values), "path": None} for row, (_, values) in enumerate(rows)
        ],
    }
    pq.write_table(pa.table(columns), path)
    return path


def voc(root, listed):
    """Pascal VOC's layout (http://host.robots.ox.ac.uk/pascal/VOC): palette masks, 255 between things, lists."""
    for folder in ("JPEGImages", "SegmentationClass", "SegmentationObject", "Annotations", "ImageSets/Segmentation"):
        (root / folder).mkdir(parents=True)
    for row, name in enumerate(name for names in listed.values() for name in names):
        picture, mask = scene(row)
        mask[0, 0] = 255
        picture.save(root / "JPEGImages" / f"{name}.jpg")
        if not name.startswith("2008"):
            place = Image.fromarray(mask, "P")
            place.putpalette(palette().tobytes())
            place.save(root / "SegmentationClass" / f"{name}.png")
    Image.new("RGB", (32, 24)).save(root / "JPEGImages" / "2007_999999.jpg")  # of other tasks: in no list
    for split, names in listed.items():
        (root / "ImageSets" / "Segmentation" / f"{split}.txt").write_text("".join(f"{name}\n" for name in names))
    return root


def names_of(first, n, year=2007):
    return [f"{year}_{number:06d}" for number in range(first, first + n)]


def in_order(dataset):
    return dataset.labels[np.argsort(dataset.paths)]


def test_two_folders_a_table_and_arrays_are_the_same_data(tmp_path):
    first = open_data(pairs(tmp_path / "scenes"))
    second = open_data(table(tmp_path / "scenes.parquet"))
    rows = [scene(row) for row in range(12)]
    third = open_data((np.stack([np.asarray(picture) for picture, _ in rows]), np.stack([mask for _, mask in rows])))
    for dataset in (first, second, third):
        assert dataset.class_names == ("0", "1", "2", "3")
        assert dataset.meaning.values == (0, 1, 2, 3)
        assert {split: len(rows) for split, rows in dataset.splits.items()} == {"train": 8, "val": 2, "test": 2}
        assert dataset.labels.shape == (12, 32, 32)  # the longer side
    for dataset in (second, third):
        assert (dataset.labels == second.labels).all()
    for row in range(12):  # upper and lower half, each of 16 rows of 32
        assert (np.unique(in_order(first)[row, :16]), np.unique(in_order(first)[row, 16:])) == (row % 3 + 1, 0)


@pytest.mark.parametrize(
    ("images", "masks", "ending"),
    [("images", "masks", ""), ("img", "annotations", ""), ("Images", "labels", "_mask"), ("image", "mask", "_label")],
)
def test_folders_have_the_usual_names(tmp_path, images, masks, ending):
    assert len(open_data(pairs(tmp_path / "x", images=images, masks=masks, ending=ending)).paths) == 12


@pytest.mark.parametrize("inside", [True, False])
def test_splits_stand_around_or_inside(tmp_path, inside):
    for split in ("train", "val", "test"):
        if inside:
            pairs(tmp_path / "x", 6, f"images/{split}", f"masks/{split}")
        else:
            pairs(tmp_path / "x" / split, 6)
    dataset = open_data(tmp_path / "x")
    assert dataset.given == {"train": 6, "val": 6, "test": 6}
    assert (dataset.labels[dataset.splits["test"]] == IGNORED).all()  # not opened before it is asked for
    dataset.scan_test()
    assert (dataset.labels[dataset.splits["test"]] != IGNORED).all()


def test_255_is_ignored_and_others_by_name(tmp_path):
    def change(row, mask):
        mask[:, :4], mask[:, 4:8] = 255, 9
        return mask

    root = pairs(tmp_path / "x", change=change)
    assert open_data(root).class_names == ("0", "1", "2", "3", "9")
    dataset = open_data(root, ignore=[9], classes=["road", "car", "tree", "sky"])
    assert dataset.class_names == ("road", "car", "tree", "sky")
    assert (dataset.labels[:, :, :8] == IGNORED).all()
    assert (dataset.labels[:, :, 8:] < 4).all()


def test_black_and_white_masks_have_two_classes(tmp_path):
    dataset = open_data(pairs(tmp_path / "x", change=lambda row, mask: np.where(mask > 0, 255, 0).astype(np.uint8)))
    assert dataset.class_names == ("0", "255")
    assert set(np.unique(dataset.labels)) == {0, 1}


def test_a_palette_is_read_by_its_places(tmp_path):
    def change(row, mask):
        picture = Image.fromarray(mask, "P")
        picture.putpalette([200, 0, 0, 0, 200, 0, 0, 0, 200, 9, 9, 9])
        return picture

    assert open_data(pairs(tmp_path / "x", change=change)).class_names == ("0", "1", "2", "3")


def test_rows_without_a_mask_are_left_out_and_told(tmp_path):
    dataset = open_data(table(tmp_path / "x.parquet", without=(0, 3)))
    assert len(dataset.paths) == 10
    assert any("2 pictures without a mask" in note.message for note in dataset.notes)
    root = pairs(tmp_path / "x")
    (root / "masks" / "00.png").unlink()
    (root / "images" / "05.jpg").unlink()
    told = " ".join(note.message for note in open_data(root).notes)
    assert "1 picture without a mask, skipped: images/00.jpg" in told
    assert "1 mask without a picture, skipped: 05.png" in told


def wrong_size(row, mask):
    return mask[:-1] if row == 3 else mask


def colours(row, mask):
    return Image.fromarray(mask).convert("RGB") if row == 3 else mask


def one_class(row, mask):
    return np.zeros_like(mask)


def deep(row, mask):
    return np.full(mask.shape, 300, np.uint16) if row == 3 else mask


BAD = {
    wrong_size: r"images/03.jpg: the mask is 32x23, the picture 32x24: they must have one size",
    colours: r"masks/03.png has colours \(RGB\), and a mask has one class number a pixel",
    one_class: r"the masks of train hold 0: two classes or more are needed",
    deep: r"masks/03.png holds 300 to 300: class numbers are 0 to 255",
}


@pytest.mark.parametrize("change", BAD)
def test_a_bad_mask_is_one_line(tmp_path, change):
    with pytest.raises(UserError, match=BAD[change]) as caught:
        open_data(pairs(tmp_path / "x", change=change))
    assert "\n" not in str(caught.value)


def test_other_mistakes_are_one_line(tmp_path):
    root = pairs(tmp_path / "x")
    with pytest.raises(UserError, match="--classes names 2 classes, and the masks hold 4"):
        open_data(root, classes=["a", "b"])
    with pytest.raises(UserError, match="--ignore 300"):
        open_data(root, ignore=[300])
    pairs(tmp_path / "y" / "train")
    pairs(tmp_path / "y" / "val", change=lambda row, mask: mask + 4)
    with pytest.raises(UserError, match=r"val holds mask values 4, \d(, \d)*.*, which train does not.*--ignore 4"):
        open_data(tmp_path / "y")
    (root / "masks" / "00_mask.png").write_bytes(png(scene(0)[1]))
    (root / "masks" / "00.png").unlink()
    (root / "masks" / "01.tif").write_bytes(png(scene(0)[1]))
    with pytest.raises(UserError, match=r"01.png and 01.tif for one picture"):
        open_data(root)
    for mask in (root / "masks").iterdir():
        mask.unlink()
    with pytest.raises(UserError, match="no picture has a mask of its name"):
        open_data(root)
    with pytest.raises(UserError, match="has none"):
        open_data("digits", ignore=[3])


@pytest.mark.parametrize("seed", range(8))
def test_a_class_that_one_picture_alone_shows_is_learnt(tmp_path, seed):
    def change(row, mask):
        mask[0, 0] = 7 if row == 5 else mask[0, 0]
        return mask

    dataset = open_data(pairs(tmp_path / "x", 30, change=change), seed=seed)
    assert dataset.class_names == ("0", "1", "2", "3", "7")
    assert dataset.paths.index("images/05.jpg") in dataset.splits["train"]


def test_a_test_folder_without_masks_is_left_out(tmp_path):
    pairs(tmp_path / "x" / "train", 12)
    pairs(tmp_path / "x" / "val", 6)
    (tmp_path / "x" / "test" / "images").mkdir(parents=True)
    scene(0)[0].save(tmp_path / "x" / "test" / "images" / "0.jpg")
    dataset = open_data(tmp_path / "x")
    assert dataset.meaning is not None
    assert any("test: no masks in it, skipped" in note.message for note in dataset.notes)


def test_a_test_mask_that_cannot_be_used_is_left_out_and_told(tmp_path):
    pairs(tmp_path / "x" / "train", 12)
    pairs(tmp_path / "x" / "test", 6, change=lambda row, mask: mask + 9 if row == 2 else wrong_size(row, mask))
    dataset = open_data(tmp_path / "x", scan_test=True)
    assert len(dataset.splits["test"]) == 4
    assert any(note.message.startswith("2 masks of test skipped: ") for note in dataset.notes)
    with pytest.raises(UserError, match=r"test holds mask values.*--strict"):
        open_data(tmp_path / "x", scan_test=True, strict=True)


def test_other_columns_do_not_hide_the_masks(tmp_path):
    path = table(tmp_path / "x.parquet")
    rows = pq.read_table(path)
    rows = rows.append_column("id", pa.array(range(12))).append_column("scene", pa.array(["road", "park"] * 6))
    pq.write_table(rows, path)
    assert open_data(path).meaning is not None
    rows = rows.append_column("label", pa.array(["road", "park"] * 6))
    pq.write_table(rows, path)
    assert open_data(path).class_names == ("park", "road")


def test_class_folders_with_splits_of_two_words_stay_what_they_were(tmp_path):
    for place, name in enumerate(("bus", "dev", "val")):
        (tmp_path / "x" / name).mkdir(parents=True)
        for row in range(4):
            Image.new("RGB", (32, 24), (place * 80, row * 60, 9)).save(tmp_path / "x" / name / f"{row}.png")
    assert open_data(tmp_path / "x").class_names == ("bus", "dev", "val")


def test_validation_without_a_labelled_pixel_is_refused(tmp_path):
    pairs(tmp_path / "x" / "train", 12)
    pairs(tmp_path / "x" / "val", 4, change=lambda row, mask: np.full_like(mask, 255))
    with pytest.raises(UserError, match="no pixel of the validation masks has a class"):
        open_data(tmp_path / "x")
    with pytest.raises(UserError, match="--classes names a twice"):
        open_data(pairs(tmp_path / "y"), classes=["a", "a", "b", "c"])


def test_a_jpeg_is_no_mask(tmp_path):
    root = pairs(tmp_path / "x")
    (root / "masks" / "00.png").unlink()
    Image.fromarray(scene(0)[1]).save(root / "masks" / "00.jpg")
    with pytest.raises(UserError, match=r"masks/00.jpg is a JPEG, which changes the values of a mask: save it as PNG"):
        open_data(root)


@pytest.mark.parametrize("bad", [np.zeros((12, 24, 32), float), np.full((12, 24, 32), -1)])
def test_arrays_of_masks_are_whole_numbers(bad):
    with pytest.raises(UserError, match="y of train"):
        open_data((np.zeros((12, 24, 32, 3), np.uint8), bad))


@pytest.mark.parametrize("around", ["", "VOC2012", "VOCdevkit/VOC2012"])
def test_pascal_voc_is_read_as_it_is_unpacked(tmp_path, around):
    listed = {"train": names_of(30, 9), "val": names_of(10, 6), "test": names_of(0, 3, 2008)}
    root = voc(tmp_path / "voc" / around, listed)
    dataset = open_data(tmp_path / "voc")
    assert dataset.given == {"train": 9, "val": 6}
    assert dataset.class_names == ("0", "1", "2", "3")
    assert [path for path in dataset.paths if path in {f"JPEGImages/{name}.jpg" for name in listed["val"]}] == [
        dataset.paths[row] for row in dataset.splits["val"]
    ]
    for row, path in enumerate(dataset.paths):
        mask = np.asarray(Image.open(root / path.replace("JPEGImages", "SegmentationClass").replace("jpg", "png")))
        assert np.array_equal(dataset.labels[row], np.asarray(Image.fromarray(mask).resize((32, 32), 0)))
        assert dataset.labels[row, 0, 0] == IGNORED
    assert any("test.txt is not used: its pictures have no masks" in note.message for note in dataset.notes)
    assert open_data(dataset.source).fingerprint == dataset.fingerprint


def test_pascal_voc_of_2007_has_a_test_with_masks(tmp_path):
    dataset = open_data(voc(tmp_path / "x", {split: names_of(10 * place, 6) for place, split in enumerate(SPLITS)}))
    assert dataset.given == {"train": 6, "val": 6, "test": 6}


def test_what_pascal_voc_lacks_is_one_line(tmp_path):
    root = voc(tmp_path / "x" / "VOC2012", {"train": names_of(0, 9)})
    voc(tmp_path / "x" / "VOC2007", {"train": names_of(0, 9)})
    with pytest.raises(UserError, match=r"holds VOC2007 and VOC2012: give one of them, as .*VOC2007$"):
        open_data(tmp_path / "x")
    (root / "SegmentationClass" / "2007_000003.png").unlink()
    with pytest.raises(UserError, match=r"train.txt names SegmentationClass/2007_000003.png, not found"):
        open_data(root)
    (root / "ImageSets" / "Segmentation" / "train.txt").unlink()
    with pytest.raises(UserError, match=r"lacks ImageSets/Segmentation/train.txt, a part of its data set"):
        open_data(root)


@pytest.mark.parametrize("header", ["image,mask", "path,mask_path", "filename,label", "file,split,annotation", None])
def test_a_csv_of_pictures_and_masks(tmp_path, header):
    root = pairs(tmp_path / "x")
    columns = (header or "image,mask").split(",")
    rows = [(f"images/{row:02d}.jpg", *["train"] * (len(columns) - 2), f"masks/{row:02d}.png") for row in range(12)]
    lines = [",".join(row) for row in rows]
    (root / "set.csv").write_text("\n".join([header, *lines] if header else lines))
    dataset = open_data(root / "set.csv")
    assert (in_order(dataset) == in_order(open_data(root))).all()
    assert set(dataset.paths) == {row[0] for row in rows}


def test_lines_without_a_mask_and_faults_of_a_csv_of_masks(tmp_path):
    root = pairs(tmp_path / "x")
    lines = [f"images/{row:02d}.jpg,{f'masks/{row:02d}.png' if row else ''}" for row in range(12)]
    (root / "set.csv").write_text("\n".join(["image,mask", *lines]))
    dataset = open_data(root / "set.csv")
    assert len(dataset.paths) == 11
    assert any("1 picture without a mask, skipped: images/00.jpg" in note.message for note in dataset.notes)
    (root / "set.csv").write_text("\n".join(["image,mask,label", *(f"{line},{n % 2}" for n, line in enumerate(lines))]))
    assert open_data(root / "set.csv").class_names == ("0", "1")
    for bad, says in (("masks/77.png", "names masks/77.png, not found"), ("../77.png", "names ../77.png, which leads")):
        (root / "set.csv").write_text("\n".join(["image,mask", *lines[1:], f"images/00.jpg,{bad}"]))
        with pytest.raises(UserError, match=f"set.csv {says}"):
            open_data(root / "set.csv")


@pytest.mark.parametrize("mask", ["mask", "label", "annotation", "mask_path"])
def test_a_table_of_paths_of_pictures_and_masks(tmp_path, mask):
    root = pairs(tmp_path / "x")
    masks, names = in_order(open_data(root)), [f"{row:02d}" for row in range(12)]
    columns = {"image": [f"images/{name}.jpg" for name in names], mask: [f"masks/{name}.png" for name in names]}
    pq.write_table(pa.table(columns), root / "set.parquet")
    assert (open_data(root / "set.parquet").labels == masks).all()
    columns[mask] = ["road", "park"] * 6  # no paths: classes
    pq.write_table(pa.table(columns), root / "set.parquet")
    assert open_data(root / "set.parquet").class_names == ("park", "road")


@needs_shared
def test_camvid(shared_data):
    dataset = open_data(shared_data / "camvid-train.parquet", ignore=[11])
    assert len(dataset.class_names) == 11
    assert dataset.given == {"train": 367, "val": 101, "test": 233}
    assert dataset.labels.shape == (701, 240, 240)
