"""Writes inputs that a network was trained on, for its calibration.

They are those of one epoch at most, as training saw them: digits shifted, turned and zoomed, backgrounds made up. Each
input of the network has a file of its own. `cargo run --release -p mpc-models --example calibrate FOLDER` reads them.
"""

import argparse
from pathlib import Path

import numpy as np
import torch

from cancer import FIRST
from train import RECIPES, THREADS

# At most so many of each network.
INPUTS = 1024


def training_inputs(model: str) -> np.ndarray:
    """The first inputs of an epoch, float32 [N, ...]."""
    torch.manual_seed(0)
    recipe = RECIPES[model]
    parts, count = [], 0
    for inputs, _ in recipe.task(model).batches(recipe.batch):
        parts.append(inputs)
        count += len(inputs)
        if count >= INPUTS:
            break
    return torch.cat(parts)[:INPUTS].numpy().astype(np.float32)


def by_name(model: str, inputs: np.ndarray) -> dict[str, np.ndarray]:
    """The inputs as the network in Rust names them."""
    if model == "breast-cancer":
        return {"size_and_surface": inputs[:, : len(FIRST)], "shape": inputs[:, len(FIRST) :]}
    return {"image": inputs}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="where the files go, MODEL.INPUT.npy")
    arguments = parser.parse_args()
    torch.set_num_threads(THREADS)
    arguments.folder.mkdir(parents=True, exist_ok=True)
    for model in RECIPES:
        for name, array in by_name(model, training_inputs(model)).items():
            np.save(arguments.folder / f"{model}.{name}.npy", np.ascontiguousarray(array))
            print(f"{model}.{name}.npy: {list(array.shape)}", flush=True)


if __name__ == "__main__":
    main()
