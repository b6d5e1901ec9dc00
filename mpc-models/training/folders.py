"""A user's own images to classify: a folder with a folder of PNG and JPEG files for each class.

Each image is made grey, resized to 32x32, and taken three times, as the networks have three channels; then
(x / 255 - 0.5) / 0.5. The classes are the names of the folders in the order of their bytes.
"""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from sklearn.model_selection import train_test_split
from torch import Tensor, nn
from torch.nn import functional

from reports import count_right, infer, report_logits, report_ranges

SIZE = 32
ENDINGS = {".png", ".jpg", ".jpeg"}
TEST_SHARE = 0.2
MAX_SHIFT = 2
MEAN, DEVIATION = 0.5, 0.5


def read_image(path: Path) -> np.ndarray:
    """uint8 [32, 32]; grey by 0.299 R + 0.587 G + 0.114 B, and each new pixel a weighted mean of those it covers."""
    with Image.open(path) as image:
        if image.mode.startswith("I"):
            # Sixteen bits, which Pillow would cut off at 255.
            image = Image.fromarray((np.asarray(image) / 257).round().astype(np.uint8))
        return np.asarray(image.convert("L").resize((SIZE, SIZE), Image.Resampling.BILINEAR))


def read_folder(folder: Path) -> tuple[list[str], np.ndarray, np.ndarray]:
    """The classes, images of uint8 [N, 32, 32], and the class of each."""
    classes = sorted((path.name for path in folder.iterdir() if path.is_dir()), key=str.encode)
    if len(classes) < 2:
        raise SystemExit(f"{folder} has {len(classes)} folders; give one with a folder of images for each class")
    images, labels = [], []
    for label, name in enumerate(classes):
        files = sorted((path for path in (folder / name).iterdir()), key=lambda path: path.name.encode())
        files = [path for path in files if path.suffix.lower() in ENDINGS]
        if len(files) < 2:
            raise SystemExit(f"{folder / name} has {len(files)} PNG or JPEG files; give at least 2")
        images += [read_image(path) for path in files]
        labels += [label] * len(files)
    return classes, np.stack(images), np.array(labels)


def normalise(images: Tensor) -> Tensor:
    images = (images.float() / 255 - MEAN) / DEVIATION
    return images[:, None].expand(-1, 3, -1, -1).contiguous(memory_format=torch.channels_last)


def shifted(images: Tensor) -> Tensor:
    """Each image moved by up to two pixels; its edges are repeated."""
    padded = functional.pad(images[:, None].float(), [MAX_SHIFT] * 4, mode="replicate")[:, 0]
    corners = torch.randint(2 * MAX_SHIFT + 1, (len(images), 2)).tolist()
    return torch.stack([image[y : y + SIZE, x : x + SIZE] for image, (y, x) in zip(padded, corners)])


class FolderTask:
    """Which class an image of a folder belongs to; a fifth of each class is held out."""

    def __init__(self, folder: Path) -> None:
        self.classes, images, labels = read_folder(folder)
        split = train_test_split(images, labels, test_size=TEST_SHARE, random_state=0, stratify=labels)
        self.images, self.test, self.targets, self.test_targets = map(torch.from_numpy, split)

    def __len__(self) -> int:
        return len(self.images)

    def batches(self, batch: int) -> Iterator[tuple[Tensor, Tensor]]:
        order = torch.randperm(len(self))
        for step in range(len(self) // batch):
            chosen = order[step * batch : (step + 1) * batch]
            yield normalise(shifted(self.images[chosen])), self.targets[chosen]

    def loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        return functional.cross_entropy(logits, targets)

    def score(self, logits: Tensor, targets: Tensor) -> float:
        return count_right(logits, targets) / len(targets)

    def evaluate(self, model: nn.Module) -> dict[str, np.ndarray]:
        counts = torch.bincount(self.test_targets, minlength=len(self.classes))
        print(f"held-out images: {dict(zip(self.classes, counts.tolist()))}")
        logits, largest = infer(model, normalise(self.test))
        report_logits(logits, self.test_targets)
        report_ranges(model, largest)
        return {}

    def write_classes(self, path: Path) -> None:
        """What is needed to read an image for these weights, and to name what they find."""
        content = {"classes": self.classes, "size": [SIZE, SIZE], "mean": [MEAN] * 3, "deviation": [DEVIATION] * 3}
        path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
