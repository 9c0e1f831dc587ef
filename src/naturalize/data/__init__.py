"""Pictures with labels: from whatever a user has to arrays. `augment`, which needs torch, is imported on its own."""

from naturalize.data.dataset import Dataset
from naturalize.data.decode import JPEG_SIDE, UnreadablePicture, read_picture, read_whole, without_warnings
from naturalize.data.listing import list_images
from naturalize.data.opening import open_data
from naturalize.data.parts import Note
from naturalize.data.pixels import Pixels, Preprocessing, statistics

__all__ = [
    "JPEG_SIDE",
    "Dataset",
    "Note",
    "Pixels",
    "Preprocessing",
    "UnreadablePicture",
    "list_images",
    "open_data",
    "read_picture",
    "read_whole",
    "statistics",
    "without_warnings",
]
