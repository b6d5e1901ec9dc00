"""Train a network of the zoo and write its weights and test data.

The digit networks, the U-Net and the two-owner network are trained on data that comes with scikit-learn; with --images
a digit network is trained on a user's own folder of images instead. The weights are written as IEEE half precision in
safetensors; all figures that are printed at the end are of the weights read back from that file. The weights are those
after the last epoch.
"""

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from cancer import CancerTask
from digits import DigitTask
from models import LeNet, MiniOnn, MiniOnnSquare, TwoOwners, UNet, resnet32
from segments import SegmentTask

HERE = Path(__file__).resolve().parent
# Sums depend on the number of threads. One is also much the fastest where other programs share the cores.
THREADS = 1
# A smaller variance loses precision in half precision, whose normal numbers begin at 6.1e-5.
MIN_VARIANCE = 1e-4


@dataclass
class Recipe:
    """A network, what it is for, and how it is trained unless options say otherwise."""

    make: Callable[..., nn.Module]
    task: Callable[[str], object]
    epochs: int
    rate: float
    # The largest norm of a gradient.
    clip: float | None = None
    weight_decay: float = 5e-4
    batch: int = 64


RECIPES = {
    "resnet32": Recipe(resnet32, DigitTask, epochs=35, rate=0.1),
    # Without batch normalisation only a lower rate is stable.
    "minionn": Recipe(MiniOnn, DigitTask, epochs=30, rate=0.02),
    # Powers of 128 grow fast: low rate, short steps.
    "minionn-square": Recipe(MiniOnnSquare, DigitTask, epochs=30, rate=0.02, clip=1.0),
    "lenet": Recipe(LeNet, lambda name: DigitTask(name, channels=1), epochs=40, rate=0.05),
    "unet": Recipe(UNet, SegmentTask, epochs=60, rate=0.1, clip=1.0),
    # The best of eight recipes by cross-validation over the training rows.
    "breast-cancer": Recipe(TwoOwners, CancerTask, epochs=30, rate=0.1, weight_decay=0.05, batch=32),
}
# Those for images of 3x32x32 in any number of classes, which can be trained on a user's folder.
FOR_FOLDERS = ("resnet32", "minionn", "minionn-square")


def make_optimizer(model: nn.Module, rate: float, weight_decay: float) -> torch.optim.Optimizer:
    """SGD with Nesterov momentum; weight decay for matrices and kernels only."""
    decayed = [p for p in model.parameters() if p.dim() > 1]
    others = [p for p in model.parameters() if p.dim() == 1]
    groups = [{"params": decayed, "weight_decay": weight_decay}, {"params": others, "weight_decay": 0.0}]
    return torch.optim.SGD(groups, lr=rate, momentum=0.9, nesterov=True)


def train(model: nn.Module, task, recipe: Recipe) -> None:
    epochs, batch = recipe.epochs, recipe.batch
    model.to(memory_format=torch.channels_last)
    batches = len(task) // batch
    if batches == 0:
        raise SystemExit(f"there are {len(task)} items for training; give a --batch of at most as many")
    optimizer = make_optimizer(model, recipe.rate, recipe.weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=recipe.rate, total_steps=epochs * batches, pct_start=0.2, cycle_momentum=False
    )
    start = time.monotonic()
    for epoch in range(1, epochs + 1):
        model.train()
        loss_sum, score_sum = 0.0, 0.0
        for inputs, targets in task.batches(batch):
            outputs = model(inputs)
            loss = task.loss(outputs, targets)
            optimizer.zero_grad()
            loss.backward()
            if recipe.clip is not None:
                nn.utils.clip_grad_norm_(model.parameters(), recipe.clip)
            optimizer.step()
            schedule.step()
            loss_sum += loss.item()
            score_sum += task.score(outputs, targets)
        print(
            f"epoch {epoch:3}/{epochs}  loss {loss_sum / batches:.4f}  "
            f"training score {score_sum / batches:.4f}  {time.monotonic() - start:.0f} s",
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


def save_test_data(arrays: dict[str, np.ndarray], folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, array in arrays.items():
        with (folder / f"{name.replace('-', '_')}.npy").open("wb") as file:
            np.lib.format.write_array(file, np.ascontiguousarray(array), version=(1, 0), allow_pickle=False)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--model", choices=RECIPES, default="resnet32", help="the network (default: %(default)s)")
    add(
        "--images",
        type=Path,
        metavar="FOLDER",
        help=f"train {', '.join(FOR_FOLDERS)} on PNG and JPEG files, in a folder for each class; needs --out, beside "
        "which the classes are written as JSON",
    )
    add("--epochs", type=int, help="passes over the training data (default: the network's own)")
    add("--batch", type=int, help="items in a step (default: the network's own)")
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
        help="folder for the test data and the expected outputs (default: ../data, seen from this script)",
    )
    add("--evaluate", action="store_true", help="do not train; read the file --out and write the test data of it")
    arguments = parser.parse_args()
    if arguments.images is not None:
        if arguments.model not in FOR_FOLDERS:
            parser.error(f"--images goes with {', '.join(FOR_FOLDERS)}")
        if arguments.out is None:
            parser.error("--images needs --out")
    if arguments.out is None:
        arguments.out = HERE.parent / "weights" / f"{arguments.model}.safetensors"
    return arguments


def main() -> None:
    arguments = parse_arguments()
    torch.set_num_threads(THREADS)
    torch.use_deterministic_algorithms(True)
    torch.manual_seed(arguments.seed)
    chosen = {key: getattr(arguments, key) for key in ("epochs", "batch", "rate")}
    recipe = replace(RECIPES[arguments.model], **{key: value for key, value in chosen.items() if value is not None})
    options = {}
    if arguments.images is None:
        task = recipe.task(arguments.model)
    else:
        # Only here, as nothing else needs an image reader.
        from folders import FolderTask

        task = FolderTask(arguments.images)
        options["classes"] = len(task.classes)
        task.write_classes(arguments.out.with_suffix(".json"))
    model = recipe.make(**options)
    print(f"{sum(p.numel() for p in model.parameters())} parameters", flush=True)
    if not arguments.evaluate:
        train(model, task, recipe)
        save_weights(model, arguments.out)
    model = recipe.make(**options)
    load_weights(model, arguments.out)
    save_test_data(task.evaluate(model), arguments.data_out)


if __name__ == "__main__":
    main()
