"""A data owner's side of a session with servers."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from types import TracebackType

from . import _arrays, _native
from ._errors import InputError
from ._progress import bar
from ._tables import Report


class Client:
    """A data owner: queries servers of a packed model, ``mpc serve``, with inputs of its own.

    Each query is a session of its own; between queries nothing is connected.
    """

    def __init__(
        self,
        public: _native.PublicModel | str | os.PathLike[str],
        *,
        key: str | os.PathLike[str],
        connect: str | Sequence[str],
        dealer: str | None = None,
        certificate: str | os.PathLike[str] | None = None,
        reveal_to: str = "data-owner",
        model_owner: str | os.PathLike[str] | None = None,
        deadline: int = 30,
    ) -> None:
        """Read keys and certificates; nobody is connected to yet.

        Args:
            public: the public part of the model, or its file.
            key: the file of this side's private key, from ``mpc keygen``.
            connect: ``HOST:PORT=FILE.crt`` of the server; a list of several, in the order of their parties.
            dealer: ``HOST:PORT=FILE.crt`` of the dealer.
            certificate: this side's certificate; by default the file beside the key that ends in .crt.
            reveal_to: who may learn the result: nothing is sent where the model's terms name others.
            model_owner: the certificate of the owner of an outsourced model, where servers have models of several.
            deadline: seconds that another participant may make no progress.

        """
        model = public if isinstance(public, _native.PublicModel) else _native.PublicModel.load(public)
        self.public = model
        self._names = [name for name, _ in model.inputs]
        self._native: _native.Client | None = _native.Client(
            model,
            key=key,
            certificate=certificate,
            connect=[connect] if isinstance(connect, str) else list(connect),
            dealer=dealer,
            reveal_to=reveal_to,
            model_owner=model_owner,
            deadline=deadline,
        )
        #: What the latest query cost.
        self.report: Report | None = None

    def prepare(
        self, count: int, store: str | os.PathLike[str], *, audit: int = 0, progress: bool | None = None
    ) -> str:
        """Prepare inferences ahead of time, for queries with ``store``, and return the name of their batch.

        The dealer makes their correlations, or the two parties of a model packed with ``no_dealer=True``; they are
        stored here and at the servers, encrypted, and each is used once.

        Args:
            count: how many are prepared, 1 to 100,000.
            store: a folder, or the address of a PostgreSQL database (``postgres://...``).
            audit: of these so many are drawn at random by the parties, destroyed, and dealt again: a dealer that has
                dealt one wrongly is found out with probability audit / count. ``count - audit`` are left.
            progress: whether to show a bar; None shows one in notebooks and on terminals, if tqdm is installed.

        Raises:
            InputError: numbers that do not fit; nothing was sent.
            DisagreementError: a dealer that was found out, which it names; nothing of the batch is kept.
            ServiceError: whose class says whose fault it is.

        """
        native = self._open()
        if not 1 <= count <= _native.MAX_BATCH:
            raise InputError(f"count={count}: 1 to {_native.MAX_BATCH:,} inferences")
        if not 0 <= audit < count:
            raise InputError(f"audit={audit}: fewer than the {count} that are prepared, so that some are left")
        with bar(progress, "prepare", unit="inference") as update:
            return native.prepare(count, audit, store, update)

    def query(
        self, x: _arrays.Inputs, *, store: str | os.PathLike[str] | None = None, progress: bool | None = None
    ) -> _arrays.Outputs | None:
        """Run the model, and return its output, or a dict of several; None where it is not revealed to this side.

        Args:
            x: an array, or a dict with one for each input; several batches are as many inferences of one session.
            store: where :meth:`prepare` has stored inferences, of which this uses some up; without it the correlations
                are made now.
            progress: whether to show a bar; None shows one in notebooks and on terminals, if tqdm is installed.

        Raises:
            InputError: inputs that the model does not take; nothing was sent.
            ServiceError: whose class says whose fault it is.

        """
        native = self._open()
        with bar(progress, "query") as update:
            named, report = native.query(_arrays.given(x, self._names), store, update)
        self.report = Report.of_query(json.loads(report))
        return _arrays.outputs(named, {}) if named else None

    def _open(self) -> _native.Client:
        if self._native is None:
            raise ValueError("this client is closed")
        return self._native

    def close(self) -> None:
        """Forget the key."""
        self._native = None

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
