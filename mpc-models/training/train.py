"""Train a network on scikit-learn's handwritten digits and write its weights and test data.

Each 8x8 image becomes a 3x32x32 image: value/16, each pixel a square of 4x4, three equal channels, and then
(x - 0.5) / 0.5. The weights are written as IEEE half precision in safetensors; all figures that are printed at the end
are of the weights read back from that file. The weights are those after the last epoch; test images do not take part
in any choice.
"""

import argparse
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import Tensor, nn
from torch.nn import functional

from models import MiniOnn, folded_weights, resnet32

HERE = Path(__file__).resolve().parent
# Sums depend on the number of threads. One is also much the fastest where other programs share the cores.
THREADS = 1
TEST_IMAGES = 450
BRIGHTEST = 16
SCALE = 4
MAX_SHIFT = 3
MAX_ROTATION = math.radians(10)
MAX_ZOOM = 0.1
WEIGHT_DECAY = 5e-4
# A smaller variance loses precision in half precision, whose normal numbers begin at 6.1e-5.
MIN_VARIANCE = 1e-4


@dataclass
class Recipe:
    """A network, and how it is trained unless options say otherwise."""

    make: Callable[[], nn.Module]
    epochs: int
    rate: float


RECIPES = {
    "resnet32": Recipe(resnet32, epochs=35, rate=0.1),
    # Without batch normalisation only a lower rate is stable.
    "minionn": Recipe(MiniOnn, epochs=30, rate=0.02),
}


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


def make_optimizer(model: nn.Module, rate: float) -> torch.optim.Optimizer:
    """SGD with Nesterov momentum; weight decay for matrices and kernels only."""
    decayed = [p for p in model.parameters() if p.dim() > 1]
    others = [p for p in model.parameters() if p.dim() == 1]
    groups = [{"params": decayed, "weight_decay": WEIGHT_DECAY}, {"params": others, "weight_decay": 0.0}]
    return torch.optim.SGD(groups, lr=rate, momentum=0.9, nesterov=True)


def train(model: nn.Module, digits: Digits, epochs: int, batch: int, rate: float) -> None:
    model.to(memory_format=torch.channels_last)
    inks, targets = digits.inks(), digits.targets()
    batches = len(inks) // batch
    optimizer = make_optimizer(model, rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=rate, total_steps=epochs * batches, pct_start=0.2, cycle_momentum=False
    )
    start = time.monotonic()
    for epoch in range(1, epochs + 1):
        model.train()
        order = torch.randperm(len(inks))
        loss_sum, right = 0.0, 0
        for step in range(batches):
            chosen = order[step * batch : (step + 1) * batch]
            logits = model(normalise(augment(inks[chosen])))
            loss = functional.cross_entropy(logits, targets[chosen])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            loss_sum += loss.item()
            right += int((logits.argmax(dim=1) == targets[chosen]).sum())
        print(
            f"epoch {epoch:3}/{epochs}  loss {loss_sum / batches:.4f}  "
            f"training accuracy {right / (batches * batch):.4f}  {time.monotonic() - start:.0f} s",
            flush=True,
        )


def save_weights(model: nn.Module, path: Path) -> None:
    """All parameters and batch normalisation statistics as halves."""
    tensors = {}
    for name, tensor in model.state_dict().items():
        if name.endswith("num_batches_tracked"):
            continue
        if name.endswith("running_var"):
            tensor = tensor.clamp(min=MIN_VARIANCE)
        half = tensor.to(torch.float16).contiguous(memory_format=torch.contiguous_format)
        assert half.isfinite().all(), f"{name} exceeds half precision"
        tensors[name] = half
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(tensors, path)


def load_weights(model: nn.Module, path: Path) -> None:
    """The halves of a file, as f32; every tensor of the model except num_batches_tracked must be there."""
    tensors = {name: tensor.to(torch.float32) for name, tensor in load_file(path).items()}
    result = model.load_state_dict(tensors, strict=False)
    missing = [name for name in result.missing_keys if not name.endswith("num_batches_tracked")]
    assert not missing and not result.unexpected_keys, f"wrong tensors: {missing}, {result.unexpected_keys}"


def infer(model: nn.Module, inks: Tensor) -> tuple[Tensor, dict[str, float]]:
    """The logits, and the largest absolute value after each convolution, each normalisation and each block sum."""
    largest: dict[str, float] = {}
    hooks = []

    def watch(name: str, module: nn.Module) -> None:
        def look(_module: nn.Module, _inputs: tuple[Tensor, ...], output: Tensor) -> None:
            largest[name] = max(largest.get(name, 0.0), float(output.abs().max()))

        hooks.append(module.register_forward_hook(look))

    for name, module in model.named_modules():
        if isinstance(module, (nn.Conv2d, nn.BatchNorm2d)) or name.endswith(".add"):
            watch(name, module)
    model.eval()
    with torch.no_grad():
        logits = torch.cat([model(normalise(part)) for part in inks.split(75)])
    for hook in hooks:
        hook.remove()
    return logits, largest


def report(model: nn.Module, logits: Tensor, largest: dict[str, float], targets: Tensor) -> None:
    right = int((logits.argmax(dim=1) == targets).sum())
    top = logits.topk(2, dim=1).values
    gaps = (top[:, 0] - top[:, 1]).sort().values
    print(f"test accuracy: {right}/{len(targets)} = {right / len(targets):.4f}")
    print("five smallest gaps of the two largest logits: " + ", ".join(f"{gap:.4f}" for gap in gaps[:5].tolist()))
    print(f"median gap: {gaps.median():.3f}; largest absolute logit: {logits.abs().max():.3f}")
    for what, fits in [
        ("convolution before normalisation", lambda name: "conv" in name),
        ("convolution after normalisation", lambda name: "bn" in name),
        ("block sum", lambda name: name.endswith(".add")),
    ]:
        name = max(filter(fits, largest), key=largest.__getitem__, default=None)
        if name is not None:
            print(f"largest absolute output of a {what}: {largest[name]:.3f} ({name})")
    folded = {name: float(weight.abs().max()) for name, weight in folded_weights(model).items()}
    name = max(folded, key=folded.__getitem__)
    print(f"largest absolute folded weight: {folded[name]:.3f} ({name})")
    variances = [tensor.min() for name, tensor in model.state_dict().items() if name.endswith("running_var")]
    if variances:
        print(f"smallest running_var: {min(variances):.6f}")


def save_test_data(digits: Digits, logits: Tensor, folder: Path, model: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, array in [
        ("digits_test_images", digits.images),
        ("digits_test_labels", digits.labels),
        (f"{model}_expected_logits", logits.numpy().astype(np.float32)),
    ]:
        with (folder / f"{name}.npy").open("wb") as file:
            np.lib.format.write_array(file, np.ascontiguousarray(array), version=(1, 0), allow_pickle=False)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--model", choices=RECIPES, default="resnet32", help="the network (default: %(default)s)")
    add("--epochs", type=int, help="passes over the training images (default: the network's own)")
    add("--batch", type=int, default=64, help="images in a step (default: %(default)s)")
    add("--rate", type=float, help="highest rate of the one-cycle schedule (default: the network's own)")
    add("--seed", type=int, default=0, help="of initial weights, order and augmentation (default: %(default)s)")
    add(
        "--out",
        type=Path,
        help="weights file to write (default: ../weights/MODEL.safetensors, seen from this script)",
    )
    add(
        "--data-out",
        type=Path,
        default=HERE.parent / "data",
        help="folder for the test images, their labels and expected logits (default: ../data, seen from this script)",
    )
    add("--evaluate", action="store_true", help="do not train; read the file --out and write the test data of it")
    arguments = parser.parse_args()
    recipe = RECIPES[arguments.model]
    if arguments.epochs is None:
        arguments.epochs = recipe.epochs
    if arguments.rate is None:
        arguments.rate = recipe.rate
    if arguments.out is None:
        arguments.out = HERE.parent / "weights" / f"{arguments.model}.safetensors"
    return arguments


def main() -> None:
    arguments = parse_arguments()
    torch.set_num_threads(THREADS)
    torch.use_deterministic_algorithms(True)
    torch.manual_seed(arguments.seed)
    train_digits, test_digits = load_data()
    make = RECIPES[arguments.model].make
    model = make()
    print(f"{sum(p.numel() for p in model.parameters())} parameters", flush=True)
    if not arguments.evaluate:
        train(model, train_digits, arguments.epochs, arguments.batch, arguments.rate)
        save_weights(model, arguments.out)
    model = make()
    load_weights(model, arguments.out)
    logits, largest = infer(model, test_digits.inks())
    report(model, logits, largest, test_digits.targets())
    save_test_data(test_digits, logits, arguments.data_out, arguments.model)


if __name__ == "__main__":
    main()
