"""Networks: their cost, their check, their runs and their packing."""

from __future__ import annotations

import json
import os
import warnings
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple, Optional, Union

import numpy.typing as npt

from . import _arrays, _native
from ._errors import InputError
from ._progress import bar
from ._tables import Check, Cost, Report

_Widths = Optional[Union[str, "os.PathLike[str]"]]


class Tensor(NamedTuple):
    """An input or output of a network; a size that is text is open."""

    name: str
    type: str
    shape: Optional[tuple[Union[int, str], ...]]


def load(path: str | os.PathLike[str]) -> Network:
    """Read an ONNX file, or take a network that comes with weights by its name, such as ``resnet32``.

    Raises:
        UnsupportedError: nodes that cannot run privately, every one by name.
        InputError: a file that cannot be read.

    """
    return Network(_native.Network.load(path))


class Network:
    """A network that can run privately."""

    def __init__(self, native: _native.Network, folder: TemporaryDirectory[str] | None = None) -> None:
        self._native = native
        # Weights may lie in files beside the network's.
        self._folder = folder
        described = json.loads(native.describe())
        self.inputs = tuple(map(_tensor, described["inputs"]))
        self.outputs = tuple(map(_tensor, described["outputs"]))
        #: What the latest private run cost.
        self.report: Report | None = None

    def cost(
        self,
        parties: int = 2,
        *,
        shapes: _arrays.Shapes | None = None,
        ring: int = 64,
        fractional_bits: int | None = None,
        comparison_bits: int | None = None,
        widths: _Widths = None,
        no_dealer: bool = False,
        comparisons: str | None = None,
        link: str = "none",
        owner_computes: bool = False,
    ) -> Cost:
        """Return what an inference costs, layer by layer, without running it.

        Args:
            parties: how many compute, 2 to 8; the dealer comes on top.
            shapes: of inputs whose sizes are open; they are else 1.
            ring: the bits of a ring element: 32, 64 or 128.
            fractional_bits: the binary digits after the point; 16, in a ring of 32 bits 10.
            comparison_bits: values must stay below 2^(comparison_bits - 2 - fractional_bits).
            widths: how large the values of each layer may become: a file of :meth:`check`, or ``calibrated`` for what
                comes with a network by name. Less is sent; what is larger all the same gives wrong results.
            no_dealer: whether two parties make their correlations themselves, without a dealer.
            comparisons: ``few-rounds``, or ``few-bytes`` for little more than half of the correlations and a round
                more; without a dealer that is the default. ``auto`` is the faster one over ``link``, and the default
                where one is given.
            link: between those who take part: ``none``, ``lan``, ``wan``, or a round trip and a rate such as
                ``40ms,100Mbit``.
            owner_computes: whether the model owner computes with its weights in the clear.

        """
        settings = _native.Settings(
            parties=parties,
            ring=ring,
            fractional_bits=fractional_bits,
            comparison_bits=comparison_bits,
            widths=widths,
            no_dealer=no_dealer,
            comparisons=comparisons,
            link=link,
            owner_computes=owner_computes,
        )
        return Cost(json.loads(self._native.cost(settings, _arrays.shapes(shapes))), no_dealer=no_dealer)

    def check(
        self,
        x: _arrays.Inputs,
        y: npt.ArrayLike | None = None,
        *,
        parties: int = 2,
        fractional_bits: int | None = None,
        comparison_bits: int | None = None,
        widths: _Widths = None,
        calibrate: str | os.PathLike[str] | None = None,
        margin: int = 1,
    ) -> Check:
        """Compare floating point, fixed point and a private run, layer by layer.

        Args:
            x: the inputs: an array, or a tuple or dict with one for each input.
            y: the true classes, for the accuracy of each run.
            parties: how many compute.
            fractional_bits: the binary digits after the point.
            comparison_bits: the bits in which values are compared.
            widths: the bounds of values, as for :meth:`run`: a layer that passes its own is named.
            calibrate: a file to write, for ``widths``: how large the values of each layer become on these inputs. Give
                many like those that will come, and calibrate again when the weights change.
            margin: the largest value that is seen is rounded up to a power of two, and each bit of margin doubles that.

        """
        settings = _native.Settings(
            parties=parties,
            fractional_bits=fractional_bits,
            comparison_bits=comparison_bits,
            widths=widths,
        )
        labels = None if y is None else _arrays.labels(y)
        written = None if calibrate is None else (calibrate, _margin(margin))
        return Check(json.loads(self._native.check(settings, self._given(x), labels, written)))

    def run(
        self,
        x: _arrays.Inputs,
        mode: str = "local",
        parties: int = 2,
        *,
        ring: int = 64,
        fractional_bits: int | None = None,
        comparison_bits: int | None = None,
        widths: _Widths = None,
        no_dealer: bool = False,
        comparisons: str | None = None,
        owner_computes: bool = False,
        threads: int = 1,
        link: str = "none",
        deadline: int = 30,
        progress: bool | None = None,
    ) -> _arrays.Outputs:
        """Run the network, and return its output, or a dict of them if it has several.

        Args:
            x: the inputs: an array, or a tuple or dict with one for each input. A network of a fixed batch
                runs once for each.
            mode: ``clear`` is floating point; ``simulate`` the fixed point of a private run, in the clear and at
                plain speed; ``local`` a private run between threads of this process, whose cost is then in
                :attr:`report`.
            parties: how many compute, 2 to 8; the dealer comes on top.
            ring: the bits of a ring element: 32, 64 or 128.
            fractional_bits: the binary digits after the point.
            comparison_bits: the bits in which values are compared.
            widths: how large the values of each layer may become: a file of :meth:`check`, or ``calibrated`` for what
                comes with a network by name. Less is sent; what is larger all the same gives wrong results.
            no_dealer: whether two parties make their correlations themselves, without a dealer.
            comparisons: ``few-rounds``, or ``few-bytes`` for little more than half of the correlations and a round
                more; without a dealer that is the default. ``auto`` is the faster one over ``link``, and the default
                where one is given.
            owner_computes: whether the model owner computes with its weights in the clear.
            threads: on which the parties and the dealer compute, all of them together.
            link: to imitate: ``none``, ``lan``, ``wan``, or a round trip and a rate such as ``40ms,100Mbit``.
            deadline: seconds that a party waits for another one.
            progress: whether to show a bar; None shows one in notebooks and on terminals, if tqdm is installed.

        Raises:
            InputError: inputs that the network does not take.
            RangeError: a value beyond what the fixed point can hold.
            RunError: a run that gave no result.

        """
        if not isinstance(mode, str):
            raise InputError("the second argument is the mode; give the inputs together, as a tuple or dict")
        settings = _native.Settings(
            parties=parties,
            ring=ring,
            fractional_bits=fractional_bits,
            comparison_bits=comparison_bits,
            widths=widths,
            no_dealer=no_dealer,
            comparisons=comparisons,
            owner_computes=owner_computes,
            threads=threads,
            link=link,
            deadline=deadline,
        )
        with bar(progress, "private inference" if mode == "local" else mode) as update:
            named, report = self._native.run(settings, self._given(x), mode, update)
        if report is not None:
            self.report = Report.of_run(json.loads(report))
            if self.report.departure is not None:
                warnings.warn(self.report.departure, stacklevel=2)
        return _arrays.outputs(named, {output.name: output.type for output in self.outputs})

    def pack(
        self,
        *,
        parties: int = 2,
        shapes: _arrays.Shapes | None = None,
        ring: int = 64,
        fractional_bits: int | None = None,
        comparison_bits: int | None = None,
        widths: _Widths = None,
        no_dealer: bool = False,
        comparisons: str | None = None,
        link: str = "none",
        session_inferences: int | None = None,
        owner_computes: bool = False,
        outsourced: bool = False,
        reveal: str = "full",
        reveal_to: str = "data-owner",
    ) -> tuple[_native.PublicModel, _native.PrivateModel]:
        """Return what everybody may know, and the private part for ``mpc serve``.

        Args:
            parties: how many compute.
            shapes: of inputs whose sizes are open; they are else 1.
            ring: the bits of a ring element.
            fractional_bits: the binary digits after the point.
            comparison_bits: the bits in which values are compared.
            widths: how large the values of each layer may become: a file of :meth:`check`, or ``calibrated`` for what
                comes with a network by name. Less is sent; what is larger all the same gives wrong results.
            no_dealer: whether two parties make their correlations themselves, without a dealer.
            comparisons: ``few-rounds``, or ``few-bytes`` for little more than half of the correlations and a round
                more; without a dealer that is the default. ``auto`` is the faster one over ``link``, and the default
                where one is given.
            link: between those who take part: ``none``, ``lan``, ``wan``, or a round trip and a rate such as
                ``40ms,100Mbit``.
            session_inferences: how many inferences a session without a dealer is expected to have: with more of them,
                more is sent once and less for each.
            owner_computes: whether the model owner computes with its weights in the clear.
            outsourced: whether all parties are servers that hold neither model nor data.
            reveal: ``full``, or ``class`` for the place of the largest number and nothing else.
            reveal_to: ``data-owner``, ``model-owner`` or ``both``.

        """
        settings = _native.Settings(
            parties=parties,
            ring=ring,
            fractional_bits=fractional_bits,
            comparison_bits=comparison_bits,
            widths=widths,
            no_dealer=no_dealer,
            comparisons=comparisons,
            link=link,
            session_inferences=session_inferences,
            owner_computes=owner_computes,
            outsourced=outsourced,
            reveal=reveal,
            reveal_to=reveal_to,
        )
        return self._native.pack(settings, _arrays.shapes(shapes))

    def __repr__(self) -> str:
        def shown(tensors: tuple[Tensor, ...]) -> str:
            return ", ".join(f"{tensor.name} {_sizes(tensor)}" for tensor in tensors)

        return f"<mpc.Network: {shown(self.inputs)} -> {shown(self.outputs)}>"

    def _given(self, x: _arrays.Inputs) -> list[tuple[str, Any]]:
        return _arrays.given(x, [tensor.name for tensor in self.inputs])


def _margin(margin: int) -> int:
    if not 1 <= margin <= 16:
        raise InputError(f"margin={margin}: 1 to 16 bits")
    return margin


def _sizes(tensor: Tensor) -> str:
    return "[...]" if tensor.shape is None else "[" + ", ".join(str(size) or "?" for size in tensor.shape) + "]"


def _tensor(described: dict[str, Any]) -> Tensor:
    shape = described["shape"]
    return Tensor(described["name"], described["type"], None if shape is None else tuple(shape))
