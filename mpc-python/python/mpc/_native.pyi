from collections.abc import Callable
from os import PathLike
from typing import Optional, Union

import numpy as np
import numpy.typing as npt

_Path = Union[str, PathLike[str]]
_Given = list[tuple[str, npt.NDArray[np.float32]]]
_Outputs = list[tuple[str, npt.NDArray[np.float64]]]
_Shapes = list[tuple[str, list[int]]]
_Progress = Optional[Callable[[int, int, str], None]]

MAX_BATCH: int

class Settings:
    def __new__(
        cls,
        *,
        parties: int,
        ring: int = 64,
        fractional_bits: int | None = None,
        comparison_bits: int | None = None,
        widths: _Path | None = None,
        no_dealer: bool = False,
        comparisons: str | None = None,
        session_inferences: int | None = None,
        owner_computes: bool = False,
        outsourced: bool = False,
        reveal: str = "full",
        reveal_to: str = "data-owner",
        threads: int = 1,
        link: str = "none",
        deadline: int = 30,
    ) -> Settings: ...

class Network:
    @staticmethod
    def load(path: _Path) -> Network: ...
    def describe(self) -> str: ...
    def cost(self, settings: Settings, shapes: _Shapes) -> str: ...
    def check(
        self, settings: Settings, given: _Given, labels: list[int] | None, calibrate: tuple[_Path, int] | None
    ) -> str: ...
    def run(self, settings: Settings, given: _Given, mode: str, progress: _Progress) -> tuple[_Outputs, str | None]: ...
    def pack(self, settings: Settings, shapes: _Shapes) -> tuple[PublicModel, PrivateModel]: ...

class PublicModel:
    """What everybody may know of a network: its architecture and the terms of its use, and no weight."""

    @staticmethod
    def load(path: _Path, *, max_network: int = 1) -> PublicModel:
        """Read a file. A network of others may be so many times as large as a ResNet-50; a BERT-base takes 2."""

    def save(self, path: _Path) -> None:
        """Write a file, for all who take part."""

    @property
    def digest(self) -> str:
        """The digest of the plan, which all who take part compare."""

    @property
    def disclosure(self) -> str:
        """Who learns what, in a sentence."""

    @property
    def parties(self) -> int:
        """The number of computing parties."""

    @property
    def inputs(self) -> list[tuple[str, list[int]]]:
        """The names and shapes of the inputs."""

    @property
    def outputs(self) -> list[tuple[str, list[int]]]:
        """The names and shapes of the outputs."""

class PrivateModel:
    """A network with its weights, for its owner alone."""

    def save(self, path: _Path) -> None:
        """Write a file that its owner alone can read."""

class Client:
    def __new__(
        cls,
        model: PublicModel,
        *,
        key: _Path,
        certificate: _Path | None,
        connect: list[str],
        dealer: str | None,
        reveal_to: str,
        model_owner: _Path | None,
        deadline: int,
    ) -> Client: ...
    def query(self, given: _Given, store: _Path | None, progress: _Progress) -> tuple[_Outputs, str]: ...
    def prepare(self, count: int, audit: int, store: _Path, progress: _Progress) -> str: ...
