"""scikit-learn's breast-cancer data, whose 30 columns two owners hold: 15 each.

The data has ten properties of cell nuclei, each with its mean, its standard error and its worst value. The first owner
holds the three columns of the first five properties (radius, texture, perimeter, area, smoothness), the second those of
the other five (compactness, concavity, concave points, symmetry, fractal dimension). Each owner standardises his own
columns with the mean and standard deviation of the training rows, which are public.
"""

from collections.abc import Iterator

import numpy as np
import torch
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import train_test_split
from torch import Tensor, nn
from torch.nn import functional

from reports import count_right, infer, report_logits

TEST_ROWS = 143
PROPERTIES = 10
FIRST = [kind * PROPERTIES + i for kind in range(3) for i in range(PROPERTIES // 2)]
SECOND = [kind * PROPERTIES + i for kind in range(3) for i in range(PROPERTIES // 2, PROPERTIES)]


class CancerTask:
    """Whether a tumour is malignant (0) or benign (1)."""

    def __init__(self, name: str) -> None:
        self.name = name
        data = load_breast_cancer()
        rows = data.data[:, FIRST + SECOND].astype(np.float32)
        labels = data.target.astype(np.uint8)
        split = train_test_split(rows, labels, test_size=TEST_ROWS, random_state=0, stratify=labels)
        training, self.test, labels, self.test_labels = split
        # As f32, so that the figures that are written are those that are used.
        self.mean = training.mean(axis=0, dtype=np.float64).astype(np.float32)
        self.deviation = training.std(axis=0, dtype=np.float64).astype(np.float32)
        self.inputs = self.standardised(training)
        self.targets = torch.from_numpy(labels.astype(np.int64))

    def standardised(self, rows: np.ndarray) -> Tensor:
        return torch.from_numpy((rows - self.mean) / self.deviation)

    def __len__(self) -> int:
        return len(self.inputs)

    def batches(self, batch: int) -> Iterator[tuple[Tensor, Tensor]]:
        order = torch.randperm(len(self))
        for step in range(len(self) // batch):
            chosen = order[step * batch : (step + 1) * batch]
            yield self.inputs[chosen], self.targets[chosen]

    def loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        return functional.cross_entropy(logits, targets)

    def score(self, logits: Tensor, targets: Tensor) -> float:
        return count_right(logits, targets) / len(targets)

    def evaluate(self, model: nn.Module) -> dict[str, np.ndarray]:
        targets = torch.from_numpy(self.test_labels.astype(np.int64))
        logits, _ = infer(model, self.standardised(self.test))
        report_logits(logits, targets)
        found = logits.argmax(dim=1)
        missed = int(((targets == 0) & (found == 1)).sum())
        print(f"malignant ones taken for benign: {missed} of {int((targets == 0).sum())}")
        return {
            "cancer_test_rows": self.test,
            "cancer_test_labels": self.test_labels,
            "cancer_statistics": np.stack([self.mean, self.deviation]),
            f"{self.name}_expected_logits": logits.numpy().astype(np.float32),
        }
