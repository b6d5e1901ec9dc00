"""Networks from PyTorch, which is imported when it is needed."""

from __future__ import annotations

import importlib.util
import inspect
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from . import _native
from ._network import Network


def from_torch(module: Any, example: Any, *, input_names: Sequence[str] | None = None) -> Network:
    """Export a module of PyTorch to ONNX, and return its network.

    The module is exported in evaluation mode, and left in the mode that it was in. Its shapes are those of the example:
    an input of several batches of it runs as several inferences.

    Args:
        module: a ``torch.nn.Module``.
        example: a tensor that the module takes, or a tuple with one for each argument.
        input_names: the names of the arguments; ``x``, or ``x0``, ``x1`` and so on.

    Raises:
        ImportError: PyTorch is not installed.
        UnsupportedError: nodes that cannot run privately.

    """
    try:
        import torch
    except ImportError as error:
        raise ImportError("mpc.from_torch needs PyTorch: pip install torch onnx onnxscript") from error
    arguments = tuple(example) if isinstance(example, (tuple, list)) else (example,)
    default = ["x"] if len(arguments) == 1 else [f"x{at}" for at in range(len(arguments))]
    names = list(input_names) if input_names is not None else default
    if len(names) != len(arguments):
        raise ValueError(f"{len(names)} input_names for {len(arguments)} arguments")
    folder = TemporaryDirectory(prefix="mpc-")
    path = Path(folder.name) / "network.onnx"
    # PyTorch that has two exporters needs a further package for the newer one.
    has_both = "dynamo" in inspect.signature(torch.onnx.export).parameters
    options: dict[str, Any] = {"dynamo": False} if has_both and importlib.util.find_spec("onnxscript") is None else {}
    training = module.training
    module.eval()
    try:
        with torch.no_grad(), _plain_attention(torch):
            torch.onnx.export(module, arguments, str(path), input_names=names, verbose=False, **options)
    finally:
        module.train(training)
    return Network(_native.Network.load(path), folder)


@contextmanager
def _plain_attention(torch: Any) -> Iterator[None]:
    """Attention as single operators: its fused form has none in ONNX that the older exporter knows."""
    mha = getattr(getattr(torch, "backends", None), "mha", None)
    if mha is None:
        yield
        return
    enabled = mha.get_fastpath_enabled()
    mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        mha.set_fastpath_enabled(enabled)
