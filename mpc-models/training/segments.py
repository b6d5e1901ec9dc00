"""Digits laid over backgrounds, to be found pixel by pixel.

Each image of 3x32x32 shows one of scikit-learn's digits, 16 to 24 pixels large, enlarged smoothly or in blocks, turned
by up to 15 degrees, at any place, in any colour that stands out from what is behind it. The mask has a 1 where at least
half of a pixel is ink. Backgrounds for training are crops of scikit-learn's photograph china.jpg at three scales and
smooth or blocky noise, both with changed colours; flower.jpg is kept for the test alone.
"""

import math
from collections.abc import Iterator

import numpy as np
import torch
from sklearn.datasets import load_sample_image
from torch import Tensor, nn
from torch.nn import functional

from digits import BRIGHTEST, Digits, load_data
from reports import infer, report_ranges

SIZE = 32
DIGIT_SIZES = (16.0, 24.0)
MAX_ROTATION = math.radians(15)
# The photographs are used at their size, a half and a quarter of it.
SCALES = (1, 2, 4)
# The share of made-up backgrounds in training.
NOISE_SHARE = 0.4
# The share of images without a digit in training.
EMPTY_SHARE = 0.05
# The distance, in colours from 0 to 1, of a digit from the mean colour behind it.
MIN_CONTRAST = 0.4
MIN_OPACITY = 0.85
PIXEL_NOISE = 0.02
# The share of digits that are enlarged in blocks instead of smoothly.
BLOCKY_SHARE = 0.25
IMAGES_PER_EPOCH = 4096
TRAINING_PHOTO, TEST_PHOTO = "china.jpg", "flower.jpg"
TEST_SEED = 1
# How many images over each photograph are kept as test data, and every how many-th of them with its logits.
KEPT, KEPT_LOGITS = 32, 4


def photo_levels(name: str) -> list[Tensor]:
    """A photograph [3, height, width] from 0 to 1 at each of the scales."""
    photo = torch.from_numpy(load_sample_image(name).copy()).permute(2, 0, 1).float() / 255
    return [functional.avg_pool2d(photo, scale) for scale in SCALES]


def photo_crops(levels: list[Tensor], count: int) -> Tensor:
    crops = []
    for _ in range(count):
        level = levels[int(torch.randint(len(levels), ()))]
        y, x = (int(torch.randint(length - SIZE + 1, ())) for length in level.shape[1:])
        crop = level[:, y : y + SIZE, x : x + SIZE]
        crops.append(crop.flip(2) if torch.rand(()) < 0.5 else crop)
    return torch.stack(crops)


def noise(count: int) -> Tensor:
    """Random colours on a coarse grid, enlarged smoothly or in blocks: ramps, spots, tiles, grain."""
    images = []
    for _ in range(count):
        cells = int(2 ** (1 + 4 * torch.rand(())))
        grid = torch.rand(1, 3, cells, cells)
        grid = torch.lerp(torch.rand(1, 3, 1, 1), grid, torch.rand(()))
        mode = "bilinear" if torch.rand(()) < 0.6 else "nearest"
        images.append(functional.interpolate(grid, size=SIZE, mode=mode)[0])
    return torch.stack(images)


def jitter(images: Tensor) -> Tensor:
    """Other brightness, contrast and balance of colours, channels exchanged, some negatives."""
    count = len(images)
    images = torch.stack([image[torch.randperm(3)] for image in images])
    negative = (torch.rand(count, 1, 1, 1) < 0.3).float()
    images = images + negative * (1 - 2 * images)
    mean = images.mean(dim=(2, 3), keepdim=True)
    images = (images - mean) * (0.5 + torch.rand(count, 1, 1, 1)) + mean
    return (images * (0.7 + 0.6 * torch.rand(count, 3, 1, 1)) + 0.3 * torch.rand(count, 1, 1, 1) - 0.15).clamp(0, 1)


def place(inks: Tensor) -> Tensor:
    """Digits [N, 1, 8, 8] from 0 to 1 as ink [N, 1, 32, 32], each of its own size, at its own place and angle."""
    count = len(inks)
    size = DIGIT_SIZES[0] + (DIGIT_SIZES[1] - DIGIT_SIZES[0]) * torch.rand(count)
    angle = (2 * torch.rand(count) - 1) * MAX_ROTATION
    room = (SIZE - size) / SIZE
    x, y = ((2 * torch.rand(count) - 1) * room for _ in range(2))
    cos, sin = angle.cos() * SIZE / size, angle.sin() * SIZE / size
    affine = torch.stack([cos, -sin, sin * y - cos * x, sin, cos, -sin * x - cos * y], dim=1).reshape(count, 2, 3)
    grid = functional.affine_grid(affine, [count, 1, SIZE, SIZE], align_corners=False)
    smooth, blocky = (
        functional.grid_sample(inks, grid, mode=mode, padding_mode="zeros", align_corners=False)
        for mode in ("bilinear", "nearest")
    )
    return torch.where(torch.rand(count, 1, 1, 1) < BLOCKY_SHARE, blocky, smooth)


def colours_over(backgrounds: Tensor, ink: Tensor) -> Tensor:
    """A colour [N, 3, 1, 1] for each digit that differs from the mean of what it covers."""
    covered = (backgrounds * ink).sum(dim=(2, 3)) / ink.sum(dim=(2, 3)).clamp(min=1e-3)
    colours = torch.rand(len(ink), 3)
    for row, behind in zip(colours, covered):
        # From any colour some corner of the cube is at least 0.86 away: this ends.
        while torch.linalg.vector_norm(row - behind) < MIN_CONTRAST:
            row.copy_(torch.rand(3))
    return colours[:, :, None, None]


def compose(backgrounds: Tensor, digits: np.ndarray) -> tuple[Tensor, Tensor]:
    """Images of uint8 [N, 3, 32, 32] and their masks of uint8 [N, 1, 32, 32]."""
    ink = place(torch.from_numpy(digits.astype(np.float32) / BRIGHTEST)[:, None])
    colours = colours_over(backgrounds, ink)
    alpha = ink * (MIN_OPACITY + (1 - MIN_OPACITY) * torch.rand(len(ink), 1, 1, 1))
    images = torch.lerp(backgrounds, colours.expand_as(backgrounds), alpha.expand_as(backgrounds))
    images = images + PIXEL_NOISE * torch.randn(images.shape)
    return (images.clamp(0, 1) * 255).round().to(torch.uint8), (ink >= 0.5).to(torch.uint8)


def normalise(images: Tensor) -> Tensor:
    return ((images.float() / 255 - 0.5) / 0.5).contiguous(memory_format=torch.channels_last)


def test_set(digits: Digits, photo: str) -> tuple[Tensor, Tensor]:
    """Each held-out digit once, over a crop of the photograph in its own colours."""
    return compose(photo_crops(photo_levels(photo), len(digits.images)), digits.images)


def overlap(logits: Tensor, masks: Tensor) -> tuple[Tensor, Tensor]:
    """For each image how many pixels are in both masks, and in at least one."""
    found, wanted = (logits > 0).flatten(1), masks.bool().flatten(1)
    return (found & wanted).sum(dim=1), (found | wanted).sum(dim=1)


def report_overlap(what: str, logits: Tensor, masks: Tensor) -> None:
    both, either = overlap(logits, masks)
    right = ((logits > 0) == masks.bool()).float().mean()
    print(
        f"{what}: IoU {both.sum() / either.sum():.4f} ({both.sum()} of {either.sum()} pixels), "
        f"mean over images {(both / either.clamp(min=1)).mean():.4f}, right pixels {right:.4f}"
    )


class SegmentTask:
    """Which pixels of an image belong to a digit."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.training, self.test = load_data()
        self.levels = photo_levels(TRAINING_PHOTO)

    def __len__(self) -> int:
        return IMAGES_PER_EPOCH

    def batches(self, batch: int) -> Iterator[tuple[Tensor, Tensor]]:
        for _ in range(len(self) // batch):
            made_up = int(torch.binomial(torch.tensor(float(batch)), torch.tensor(NOISE_SHARE)))
            parts = [photo_crops(self.levels, batch - made_up)] if made_up < batch else []
            backgrounds = jitter(torch.cat(parts + ([noise(made_up)] if made_up else [])))
            digits = self.training.images[torch.randint(len(self.training.images), (batch,)).numpy()]
            digits = digits * (torch.rand(batch, 1, 1) >= EMPTY_SHARE).numpy().astype(np.uint8)
            images, masks = compose(backgrounds, digits)
            yield normalise(images), masks

    def loss(self, logits: Tensor, masks: Tensor) -> Tensor:
        """Cross-entropy of the pixels, and one minus the Dice coefficient of the batch."""
        masks = masks.float()
        entropy = functional.binary_cross_entropy_with_logits(logits, masks)
        found = logits.sigmoid()
        return entropy + 1 - 2 * (found * masks).sum() / (found.sum() + masks.sum())

    def score(self, logits: Tensor, masks: Tensor) -> float:
        both, either = overlap(logits, masks)
        return float(both.sum() / either.sum())

    def evaluate(self, model: nn.Module) -> dict[str, np.ndarray]:
        torch.manual_seed(TEST_SEED)
        kept_images, kept_masks, kept_logits = [], [], []
        for what, photo in [("background seen", TRAINING_PHOTO), ("background not seen", TEST_PHOTO)]:
            images, masks = test_set(self.test, photo)
            logits, largest = infer(model, normalise(images))
            report_overlap(f"{what} ({photo}), {len(images)} held-out digits", logits, masks)
            report_overlap(f"  the {KEPT} of them in the test data", logits[:KEPT], masks[:KEPT])
            report_ranges(model, largest)
            kept_images.append(images[:KEPT])
            kept_masks.append(masks[:KEPT])
            kept_logits.append(logits[:KEPT:KEPT_LOGITS])
        return {
            "segment_test_images": torch.cat(kept_images).numpy(),
            "segment_test_masks": torch.cat(kept_masks)[:, 0].numpy(),
            f"{self.name}_expected_logits": torch.cat(kept_logits).numpy().astype(np.float32),
        }
