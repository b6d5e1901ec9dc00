"""Errors: what happened, where, and what to do."""

from __future__ import annotations

from typing import NamedTuple, Optional


class Reason(NamedTuple):
    """One reason why a network cannot run privately."""

    node: Optional[str]
    operator: Optional[str]
    message: str


class Error(Exception):
    """Anything that this package reports; ``node`` is the node of the network that it is about, where there is one."""

    def __init__(self, message: str, node: str | None = None) -> None:
        super().__init__(message)
        self.node = node


class InputError(Error, ValueError):
    """Arguments or inputs that cannot be used; found before anything is sent."""


class RangeError(InputError):
    """A value beyond what the fixed point can hold: scale inputs or weights down, or raise comparison_bits."""


class UnsupportedError(Error):
    """A network that cannot run privately: ``reasons`` has every node, its operator and what is wrong with it."""

    def __init__(
        self,
        message: str,
        node: str | None = None,
        reasons: list[tuple[str | None, str | None, str]] | None = None,
    ) -> None:
        super().__init__(message, node)
        self.reasons = [Reason(*reason) for reason in reasons or []]


class RunError(Error, RuntimeError):
    """A run that began and gave no result."""


class ServiceError(Error):
    """A session with servers that gave no result: a fault of this side's disk or keys, or one of those below."""


class DisagreementError(ServiceError):
    """Both sides are set up differently, or one is not who it should be. Nothing secret was sent."""


class PeerLostError(ServiceError):
    """A peer went away."""


class PeerTimeoutError(ServiceError):
    """A peer did not answer in time."""


class RefusedError(ServiceError):
    """A peer does not grant what was asked."""
