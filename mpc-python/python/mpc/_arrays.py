"""Arrays of every kind as inputs, and outputs as a person wants them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Union

import numpy as np
import numpy.typing as npt

from ._errors import InputError

#: An array, or one for each input, by name or in a tuple in their order.
Inputs = Union[npt.ArrayLike, Mapping[str, npt.ArrayLike], "tuple[npt.ArrayLike, ...]"]
#: The array of the only output, or one for each output by name.
Outputs = Union["npt.NDArray[Any]", "dict[str, npt.NDArray[Any]]"]
#: Shapes of inputs by name.
Shapes = Mapping[str, Sequence[int]]

#: The largest integer up to which float32 has them all.
_MAX_INTEGER = 2**24
#: The element types of an ONNX file that are whole numbers.
_WHOLE = {
    "BOOL": np.bool_,
    "INT8": np.int8,
    "INT16": np.int16,
    "INT32": np.int32,
    "INT64": np.int64,
    "UINT8": np.uint8,
    "UINT16": np.uint16,
    "UINT32": np.uint32,
    "UINT64": np.uint64,
}


def given(x: Inputs, names: Sequence[str]) -> list[tuple[str, npt.NDArray[np.float32]]]:
    """Return the arrays by the names of the inputs."""
    if isinstance(x, Mapping):
        return [(str(name), _array(str(name), value)) for name, value in x.items()]
    if isinstance(x, tuple) and len(x) == len(names) != 1:
        return [(name, _array(name, value)) for name, value in zip(names, x)]
    if len(names) != 1:
        raise InputError(f"the network has the inputs {', '.join(names)}: give a tuple or dict with an array for each")
    return [(names[0], _array(names[0], x))]


def _array(name: str, x: Any) -> npt.NDArray[np.float32]:
    # A tensor of PyTorch may need gradients, or lie on another device.
    if hasattr(x, "detach"):
        x = x.detach().cpu().numpy()
    array = np.asarray(x)
    if array.dtype.kind not in "biuf":
        raise InputError(f"input `{name}` has elements of type {array.dtype}, which are no real numbers", name)
    if array.dtype.kind in "iu" and array.size > 0 and max(-int(array.min()), int(array.max())) > _MAX_INTEGER:
        raise InputError(f"input `{name}` has integers above 2^24, which no float32 holds exactly", name)
    with np.errstate(over="ignore"):
        return np.asarray(array, dtype=np.float32)


def outputs(named: Sequence[tuple[str, npt.NDArray[np.float64]]], types: Mapping[str, str]) -> Outputs:
    """Return the only output, or all by name; whole numbers where the network's file says so."""
    arrays: dict[str, npt.NDArray[Any]] = {}
    for name, array in named:
        whole = _WHOLE.get(types.get(name, ""))
        arrays[name] = array if whole is None else np.rint(array).astype(whole)
    return next(iter(arrays.values())) if len(arrays) == 1 else arrays


def shapes(named: Shapes | None) -> list[tuple[str, list[int]]]:
    """Return shapes as the native part takes them."""
    return [(str(name), [int(size) for size in shape]) for name, shape in (named or {}).items()]


def labels(y: npt.ArrayLike) -> list[int]:
    """Return true classes as a flat list."""
    array = np.asarray(y.detach().cpu().numpy() if hasattr(y, "detach") else y)
    whole = np.rint(array) if array.dtype.kind in "biuf" else None
    if whole is None or np.any(whole != array) or np.any(array < 0):
        raise InputError("labels are integers from 0 on")
    return [int(label) for label in whole.ravel()]
