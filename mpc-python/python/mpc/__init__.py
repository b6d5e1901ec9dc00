"""Private neural-network inference between organisations.

>>> import mpc
>>> net = mpc.load("resnet32")
>>> cost = net.cost(parties=2)
>>> cost.bytes_sent, cost.rounds
(3480648, 126)
"""

from ._client import Client
from ._errors import (
    DisagreementError,
    Error,
    InputError,
    PeerLostError,
    PeerTimeoutError,
    RangeError,
    Reason,
    RefusedError,
    RunError,
    ServiceError,
    UnsupportedError,
)
from ._native import PrivateModel, PublicModel
from ._network import Network, Tensor, load
from ._tables import Check, Cost, Report, Table
from ._torch import from_torch

__all__ = [
    "Check",
    "Client",
    "Cost",
    "DisagreementError",
    "Error",
    "InputError",
    "Network",
    "PeerLostError",
    "PeerTimeoutError",
    "PrivateModel",
    "PublicModel",
    "RangeError",
    "Reason",
    "RefusedError",
    "Report",
    "RunError",
    "ServiceError",
    "Table",
    "Tensor",
    "UnsupportedError",
    "from_torch",
    "load",
]
