"""What a network gives for test data, and the figures that are printed about it."""

import torch
from torch import Tensor, nn

from models import Square, folded_weights

# Inputs at a time.
PART = 75


def infer(model: nn.Module, inputs: Tensor) -> tuple[Tensor, dict[str, float]]:
    """The outputs, and the largest absolute value after each layer of interest."""
    largest: dict[str, float] = {}
    hooks = []

    def watch(name: str, module: nn.Module) -> None:
        def look(_module: nn.Module, _inputs: tuple[Tensor, ...], output: Tensor) -> None:
            largest[name] = max(largest.get(name, 0.0), float(output.abs().max()))

        hooks.append(module.register_forward_hook(look))

    for name, module in model.named_modules():
        if isinstance(module, (nn.Conv2d, nn.BatchNorm2d, Square)) or name.endswith(".add"):
            watch(name, module)
    model.eval()
    with torch.no_grad():
        outputs = torch.cat([model(part) for part in inputs.split(PART)])
    for hook in hooks:
        hook.remove()
    return outputs, largest


def count_right(logits: Tensor, targets: Tensor) -> int:
    return int((logits.argmax(dim=1) == targets).sum())


def report_logits(logits: Tensor, targets: Tensor) -> None:
    right = count_right(logits, targets)
    top = logits.topk(2, dim=1).values
    gaps = (top[:, 0] - top[:, 1]).sort().values
    print(f"test accuracy: {right}/{len(targets)} = {right / len(targets):.4f}")
    print("five smallest gaps of the two largest logits: " + ", ".join(f"{gap:.4f}" for gap in gaps[:5].tolist()))
    print(f"median gap: {gaps.median():.3f}; largest absolute logit: {logits.abs().max():.3f}")


def report_ranges(model: nn.Module, largest: dict[str, float]) -> None:
    for what, fits in [
        ("convolution before normalisation", lambda name: "conv" in name),
        ("convolution after normalisation", lambda name: "bn" in name),
        ("square", lambda name: "square" in name),
        ("block sum", lambda name: name.endswith(".add")),
    ]:
        name = max(filter(fits, largest), key=largest.__getitem__, default=None)
        if name is not None:
            print(f"largest absolute output of a {what}: {largest[name]:.3f} ({name})")
    folded = {name: float(weight.abs().max()) for name, weight in folded_weights(model).items()}
    if folded:
        name = max(folded, key=folded.__getitem__)
        print(f"largest absolute folded weight: {folded[name]:.3f} ({name})")
    variances = [tensor.min() for name, tensor in model.state_dict().items() if name.endswith("running_var")]
    if variances:
        print(f"smallest running_var: {min(variances):.6f}")
