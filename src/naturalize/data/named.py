"""Data sets by name: where each is on the Hugging Face Hub, and what the field reports on it.

The eleven of Lu et al., "Neural Architecture Transfer" (TPAMI 2021), and two small ones. Copies that need code of their
own to load are left out: current `datasets` refuses it.
"""

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass

TOP_1, MEAN_PER_CLASS = "top-1", "mean per class"  # accuracies: each picture counts the same, or each class
METRICS = (TOP_1, MEAN_PER_CLASS)
NONE_STATED = "none stated"
NEAR = 0.7  # likeness of a name from which on another may have been meant, as difflib tells it


@dataclass(frozen=True)
class Named:
    """A data set that a name stands for.

    Attributes:
        title: as people write it.
        hub: its identifier on the Hub; all that are here have one configuration.
        splits: the Hub's splits by ours; what is not among them is cut from train, or not used.
        pictures: numbers by our split.
        metric: accuracy that the field reports: one of `METRICS`.
        licence: of the pictures, as their authors or the copy on the Hub say.
        image, label: names of columns.
        gated: whether the Hub wants a login, and its terms accepted.
    """

    title: str
    hub: str
    splits: Mapping[str, str]
    pictures: Mapping[str, int]
    classes: int
    metric: str
    licence: str
    citation: str
    image: str = "image"
    label: str = "label"
    gated: bool = False


TWO, THREE = {"train": "train", "test": "test"}, {"train": "train", "val": "validation", "test": "test"}
HELD_BACK = {"train": "train", "test": "validation"}  # what the Hub calls validation is what everyone reports on

NAMED: dict[str, Named] = {
    "imagenet": Named(
        "ImageNet (ILSVRC 2012)", "ILSVRC/imagenet-1k", HELD_BACK,  # its test split has the label -1 throughout
        {"train": 1_281_167, "test": 50_000}, 1000, TOP_1, "ImageNet terms of access: research, non-commercial",
        "Russakovsky et al., ImageNet Large Scale Visual Recognition Challenge, IJCV 2015", gated=True,
    ),
    "cifar10": Named(
        "CIFAR-10", "uoft-cs/cifar10", TWO, {"train": 50_000, "test": 10_000}, 10, TOP_1, NONE_STATED,
        "Krizhevsky, Learning multiple layers of features from tiny images, 2009", image="img",
    ),
    "cifar100": Named(
        "CIFAR-100", "uoft-cs/cifar100", TWO, {"train": 50_000, "test": 10_000}, 100, TOP_1, NONE_STATED,
        "Krizhevsky, Learning multiple layers of features from tiny images, 2009", image="img", label="fine_label",
    ),
    "cinic10": Named(
        "CINIC-10", "flwrlabs/cinic10", THREE, {"train": 90_000, "val": 90_000, "test": 90_000}, 10, TOP_1,
        "CC BY 4.0", "Darlow et al., CINIC-10 is not ImageNet or CIFAR-10, arXiv 1810.03505, 2018",
    ),
    "stl10": Named(
        "STL-10", "tanganke/stl10", TWO,  # a copy without the 100,000 unlabelled pictures
        {"train": 5_000, "test": 8_000}, 10, TOP_1, NONE_STATED,
        "Coates et al., An analysis of single-layer networks in unsupervised feature learning, AISTATS 2011",
    ),
    "food101": Named(
        "Food-101", "ethz/food101", HELD_BACK, {"train": 75_750, "test": 25_250}, 101, TOP_1,
        "scientific fair use; the pictures are their Foodspotting owners'",
        "Bossard et al., Food-101: mining discriminative components with random forests, ECCV 2014",
    ),
    "stanford_cars": Named(
        "Stanford Cars", "tanganke/stanford_cars", TWO,  # its other seven splits are test pictures made worse
        {"train": 8_144, "test": 8_041}, 196, TOP_1, NONE_STATED,
        "Krause et al., 3D object representations for fine-grained categorization, 3dRR 2013",
    ),
    "fgvc_aircraft": Named(
        "FGVC-Aircraft", "HuggingFaceM4/FGVC-Aircraft", THREE, {"train": 3_334, "val": 3_333, "test": 3_333}, 100,
        MEAN_PER_CLASS, "research, non-commercial",
        "Maji et al., Fine-grained visual classification of aircraft, arXiv 1306.5151, 2013",
        label="variant",  # beside family and manufacturer
    ),
    "dtd": Named(
        "DTD", "mcimpoi/dtd_split_1", THREE,  # the first of its ten partitions, from its first author
        {"train": 1_880, "val": 1_880, "test": 1_880}, 47, TOP_1, "CC BY 4.0",
        "Cimpoi et al., Describing textures in the wild, CVPR 2014",
    ),
    "oxford_pets": Named(
        "Oxford-IIIT Pets", "timm/oxford-iiit-pet", TWO, {"train": 3_680, "test": 3_669}, 37, MEAN_PER_CLASS,
        "CC BY-SA 4.0", "Parkhi et al., Cats and dogs, CVPR 2012",
    ),
    "flowers102": Named(
        "Oxford Flowers-102", "dpdl-benchmark/oxford_flowers102", THREE,  # other copies swap train and test
        {"train": 1_020, "val": 1_020, "test": 6_149}, 102, MEAN_PER_CLASS, NONE_STATED,
        "Nilsback and Zisserman, Automated flower classification over a large number of classes, ICVGIP 2008",
    ),
    "mnist": Named(
        "MNIST", "ylecun/mnist", TWO, {"train": 60_000, "test": 10_000}, 10, TOP_1, "CC BY-SA 3.0",
        "LeCun et al., Gradient-based learning applied to document recognition, Proceedings of the IEEE 1998",
    ),
    "fashion_mnist": Named(
        "Fashion-MNIST", "zalando-datasets/fashion_mnist", TWO, {"train": 60_000, "test": 10_000}, 10, TOP_1, "MIT",
        "Xiao et al., Fashion-MNIST: a novel image dataset for benchmarking, arXiv 1708.07747, 2017",
    ),
}  # fmt: skip


def near(name: str) -> list[str]:
    """Names that may have been meant by another one: those much like it, and those that have it in them."""
    plain = {re.sub(r"[^a-z0-9]", "", known): known for known in NAMED}
    asked = re.sub(r"[^a-z0-9]", "", name.lower())
    alike = difflib.get_close_matches(asked, plain, cutoff=NEAR)
    within = [known for known in plain if len(asked) >= 3 and asked in known]
    return [plain[known] for known in dict.fromkeys([*alike, *within])]
