"""scikit-learn's handwritten digits, in the form of the networks' images.

Each 8x8 image becomes a 3x32x32 image: value/16, each pixel a square of 4x4, three equal channels, and then
(x - 0.5) / 0.5.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import Tensor, nn
from torch.nn import functional

from reports import count_right, infer, report_logits, report_ranges

TEST_IMAGES = 450
BRIGHTEST = 16
SCALE = 4
MAX_SHIFT = 3
MAX_ROTATION = math.radians(10)
MAX_ZOOM = 0.1


@dataclass
class Digits:
    """Images of uint8 [N, 8, 8] with values from 0 to 16, and labels of uint8 [N]."""

    images: np.ndarray
    labels: np.ndarray

    def inks(self) -> Tensor:
        """Float images [N, 1, 32, 32] from 0 (white) to 1 (black)."""
        images = np.kron(self.images / BRIGHTEST, np.ones((1, SCALE, SCALE)))
        return torch.from_numpy(images.astype(np.float32))[:, None]

    def targets(self) -> Tensor:
        return torch.from_numpy(self.labels.astype(np.int64))


def load_data() -> tuple[Digits, Digits]:
    """1347 images for training and 450 for the test, the same ones on each call."""
    data = load_digits()
    images = data.images.astype(np.uint8)
    labels = data.target.astype(np.uint8)
    assert (images == data.images).all() and images.max() == BRIGHTEST
    split = train_test_split(images, labels, test_size=TEST_IMAGES, random_state=0, stratify=labels)
    train_images, test_images, train_labels, test_labels = split
    return Digits(train_images, train_labels), Digits(test_images, test_labels)


def normalise(inks: Tensor) -> Tensor:
    """The network's input [N, 3, 32, 32] with values from -1 to 1."""
    return ((inks - 0.5) / 0.5).expand(-1, 3, -1, -1).contiguous(memory_format=torch.channels_last)


def augment(inks: Tensor) -> Tensor:
    """A small random rotation, zoom and shift of each image; white flows in."""
    count, _, _, size = inks.shape
    uniform = torch.rand(4, count) * 2 - 1
    angle = uniform[0] * MAX_ROTATION
    zoom = 1 + uniform[1] * MAX_ZOOM
    # Whole pixels; the grid of affine_grid goes from -1 to 1.
    shift = (uniform[2:] * (MAX_SHIFT + 0.5)).round() * 2 / size
    cos, sin = angle.cos() * zoom, angle.sin() * zoom
    affine = torch.stack([cos, -sin, shift[0], sin, cos, shift[1]], dim=1).reshape(count, 2, 3)
    grid = functional.affine_grid(affine, list(inks.shape), align_corners=False)
    return functional.grid_sample(inks, grid, mode="bilinear", padding_mode="zeros", align_corners=False)


class DigitTask:
    """Which digit an image shows."""

    def __init__(self, name: str, channels: int = 3) -> None:
        self.name, self.channels = name, channels
        self.training, self.test = load_data()
        self.inks, self.targets = self.training.inks(), self.training.targets()

    def __len__(self) -> int:
        return len(self.inks)

    def batches(self, batch: int) -> Iterator[tuple[Tensor, Tensor]]:
        order = torch.randperm(len(self.inks))
        for step in range(len(self) // batch):
            chosen = order[step * batch : (step + 1) * batch]
            yield normalise(augment(self.inks[chosen]))[:, : self.channels], self.targets[chosen]

    def loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        return functional.cross_entropy(logits, targets)

    def score(self, logits: Tensor, targets: Tensor) -> float:
        return count_right(logits, targets) / len(targets)

    def evaluate(self, model: nn.Module) -> dict[str, np.ndarray]:
        inputs = normalise(self.test.inks())[:, : self.channels]
        logits, largest = infer(model, inputs)
        report_logits(logits, self.test.targets())
        report_ranges(model, largest)
        return {
            "digits_test_images": self.test.images,
            "digits_test_labels": self.test.labels,
            f"{self.name}_expected_logits": logits.numpy().astype(np.float32),
        }
