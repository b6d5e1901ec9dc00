"""What a run costs or shows, layer by layer: a table in notebooks, a list of dicts otherwise."""

from __future__ import annotations

import html
from collections.abc import Callable, Iterable
from typing import Any, ClassVar

Row = dict[str, Any]

#: The bytes in front of each message on the wire.
_FRAME_HEADER = 4


def _bytes(count: int) -> str:
    for limit, divisor, unit in ((10**3, 1, "B"), (10**6, 10**3, "kB"), (10**9, 10**6, "MB")):
        if count < limit:
            return f"{count} B" if divisor == 1 else f"{count / divisor:.2f} {unit}"
    return f"{count / 10**9:.2f} GB"


def _seconds(seconds: float) -> str:
    return f"{seconds * 1e3:.2f} ms" if seconds < 1 else f"{seconds:.3f} s"


def _number(value: float) -> str:
    return f"{value:.6g}"


def _shape(sizes: Iterable[int]) -> str:
    return "×".join(map(str, sizes))


def _on_wire(traffic: Row, way: str) -> int:
    return int(traffic[f"payload_{way}"]) + _FRAME_HEADER * int(traffic[f"frames_{way}"])


def _yes(value: object) -> str:
    return "yes" if value else ""


#: The key of a column, its title, and how its values are shown; None is as text.
Column = tuple[str, str, "Callable[[Any], str] | None"]


class Table(list[Row]):
    """Rows as dicts, with a table in notebooks and as text."""

    _columns: ClassVar[tuple[Column, ...]] = ()

    def _title(self) -> str:
        return ""

    def _cells(self) -> list[list[str]]:
        def cell(row: Row, key: str, show: Callable[[Any], str] | None) -> str:
            value = row.get(key)
            return "" if value is None else (show or str)(value)

        return [[cell(row, key, show) for key, _, show in self._columns] for row in self]

    def _repr_html_(self) -> str:
        head = "".join(f"<th>{html.escape(title)}</th>" for _, title, _ in self._columns)
        rows = ("".join(f"<td>{html.escape(cell)}</td>" for cell in cells) for cells in self._cells())
        body = "".join(f"<tr>{row}</tr>" for row in rows)
        return f"<p>{html.escape(self._title())}</p><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"

    def __str__(self) -> str:
        lines = [[title for _, title, _ in self._columns], *self._cells()]
        widths = [max(map(len, column)) for column in zip(*lines)]
        rows = ([cell.ljust(width) for cell, width in zip(line, widths)] for line in lines)
        return "\n".join([self._title(), *("  ".join(row).rstrip() for row in rows)])


class Cost(Table):
    """The cost of an inference, exact in bytes and rounds before anything runs; times are estimates."""

    _columns = (
        ("layer", "layer", None),
        ("kind", "kind", None),
        ("shape", "output", _shape),
        ("bytes_sent", "sent by a party", _bytes),
        ("rounds", "rounds", None),
        ("dealt_bytes", "dealt to the last party", _bytes),
        ("seconds_lan", "on a LAN", _seconds),
        ("seconds_wan", "on a WAN", _seconds),
    )

    def __init__(self, data: Row, *, no_dealer: bool = False) -> None:
        self.data = data
        self._no_dealer = no_dealer
        estimates = {estimate["net"]: estimate for estimate in data["estimates"]}
        rows = []
        for at, layer in enumerate(data["per_layer"]):
            row = {
                "layer": layer["name"],
                "kind": layer["kind"],
                "shape": tuple(layer["shape"]),
                "bits": layer["width"],
                "bytes_sent": max(layer["bytes_sent"], default=0),
                "bytes_received": max(layer["bytes_received"], default=0),
                "rounds": layer["rounds"],
                "dealt_bytes": layer["dealt_bytes"],
            }
            row.update((f"seconds_{net}", estimate["steps"][at]["seconds"]) for net, estimate in estimates.items())
            rows.append(row)
        super().__init__(rows)
        #: Bytes that a party sends online: the most of all.
        self.bytes_sent: int = max(data["phases"]["online"]["bytes_sent"])
        #: Rounds online.
        self.rounds: int = data["phases"]["online"]["rounds"]
        #: Bytes that the dealer gives to the last party.
        self.dealt_bytes: int = data["phases"]["preprocessing"]["bytes_received"][-1]
        #: Bytes that a party sends to load the model, once for all inferences of a session.
        self.setup_bytes: int = max(data["phases"]["setup"]["bytes_sent"])
        #: Estimated seconds by link: loopback, lan and wan.
        self.seconds: dict[str, float] = {net: estimate["seconds"] for net, estimate in estimates.items()}
        #: The number of computing parties.
        self.parties: int = data["parties"]
        #: Who learns what, in a sentence.
        self.disclosure: str = data["disclosure"]

    def _title(self) -> str:
        times = ", ".join(f"{_seconds(seconds)} on {net}" for net, seconds in self.seconds.items())
        who = f"{self.parties} parties {'without' if self._no_dealer else 'and'} a dealer"
        dealt = "for correlations" if self._no_dealer else "dealt"
        return (
            f"{self.data['model']}, {who}: {_bytes(self.bytes_sent)} sent by a party in {self.rounds} rounds, "
            f"{_bytes(self.dealt_bytes)} {dealt} to the last party; about {times}"
        )


def _departure(found: Row | None) -> str | None:
    """Return where values keep too few bits, for people."""
    if found is None:
        return None
    text = f"`{found['layer']}` departs from floating point by up to {found['error']:.2g}"
    coarse = found["coarse"]
    if coarse is not None:
        text += f": values of `{coarse['values']}` about {coarse['magnitude']:.2g} keep {coarse['bits']:.1f} bits"
    if found["enough"] is not None:
        ring = f"ring={found['ring']}, " if "ring" in found else ""
        text += f"; {ring}fractional_bits={found['enough']} keeps enough"
    return text


class Report(Table):
    """What an inference cost, measured and found equal to the plan."""

    _columns = (
        ("layer", "layer", None),
        ("kind", "kind", None),
        ("seconds", "time", _seconds),
        ("bytes_sent", "sent by a party", _bytes),
        ("rounds", "rounds", None),
        ("dealt_bytes", "dealt to the last party", _bytes),
    )

    def __init__(self, data: Row, rows: list[Row]) -> None:
        super().__init__(rows)
        self.data = data
        #: Bytes sent online by the party that sent most, of all inferences together.
        self.bytes_sent: int = 0
        #: Rounds online.
        self.rounds: int = 0
        #: Seconds online.
        self.seconds: float = 0.0
        #: Where values keep too few bits, if results depart from those in the clear; None where they do not.
        self.departure: str | None = None

    @classmethod
    def of_run(cls, data: Row) -> Report:
        """Return the report of a local run."""
        rows = [
            {
                "layer": layer["name"],
                "kind": layer["kind"],
                "seconds": layer["seconds"],
                "bytes_sent": max(layer["bytes_sent"], default=0),
                "bytes_received": max(layer["bytes_received"], default=0),
                "rounds": layer["rounds"],
                "dealt_bytes": layer["dealt_bytes"],
            }
            for layer in data["per_layer"]
        ]
        report = cls(data, rows)
        online = data["phases"]["online"]
        report.bytes_sent, report.rounds = max(online["bytes_sent"]), online["rounds"]
        report.seconds = online["seconds"]
        report.departure = _departure(data.get("departure"))
        return report

    @classmethod
    def of_query(cls, data: Row) -> Report:
        """Return the report of a query: of its last inference layer by layer, of all together in the attributes."""
        planned = {layer["name"]: layer for layer in data["planned"]["per_layer"]}
        inferences = data["inferences"]
        rows = [
            {
                "layer": step["name"],
                "kind": planned.get(step["name"], {}).get("kind"),
                "seconds": step["seconds"],
                "bytes_sent": _on_wire(step["measured"], "sent"),
                "bytes_received": _on_wire(step["measured"], "received"),
                "rounds": step["measured"]["rounds"],
                "dealt_bytes": planned.get(step["name"], {}).get("dealt_bytes"),
            }
            for step in (inferences[-1]["steps"] if inferences else [])
        ]
        report = cls(data, rows)
        report.bytes_sent = sum(_on_wire(inference["online"], "sent") for inference in inferences)
        report.rounds = sum(inference["online"]["rounds"] for inference in inferences)
        report.seconds = sum(inference["online_seconds"] for inference in inferences)
        return report

    def _title(self) -> str:
        return f"{_bytes(self.bytes_sent)} sent by a party in {self.rounds} rounds and {_seconds(self.seconds)} online"


class Check(Table):
    """A network in floating point, in fixed point and privately, layer by layer."""

    _columns = (
        ("name", "layer", None),
        ("kind", "kind", None),
        ("smallest", "smallest", _number),
        ("largest", "largest", _number),
        ("fixed_point_error", "fixed-point error", _number),
        ("private_error", "private error", _number),
        ("departs", "departs", _yes),
        ("out_of_range", "out of range", _yes),
    )

    def __init__(self, data: Row) -> None:
        super().__init__(data["layers"])
        self.data = data
        #: The first layer whose private values part from those in floating point; None where none does.
        self.first_departing: str | None = data["first_departing"]
        #: The largest magnitude of all layers, and the bound that it must stay below.
        self.largest_magnitude: float = data["largest_magnitude"]
        self.bound: float = data["bound"]
        #: The smallest comparison_bits that leave a factor of two above the largest magnitude.
        self.smallest_comparison_bits: int = data["smallest_comparison_bits"]
        #: The part of the samples that is classified right in each of the three runs, where labels were given.
        self.accuracy: dict[str, float] | None = data["accuracy"]

    @property
    def ok(self) -> bool:
        """Whether each run gave results, no layer departs, and all values are within the range of the plan."""
        return self.data["has_private"] and not any(layer["departs"] or layer["out_of_range"] for layer in self)

    def _title(self) -> str:
        verdict = "no layer departs from floating point" if self.data["has_private"] else "a private run gave no result"
        if self.first_departing is not None:
            verdict = f"`{self.first_departing}` is the first layer that departs from floating point"
            reason = _departure(self.data["departure"])
            if reason is not None:
                verdict = f"{verdict}; {reason}"
        text = f"{verdict}; the largest magnitude is {self.largest_magnitude:.4f}, and the bound {self.bound:.0f}"
        if self.accuracy is not None:
            parts = (f"{part:.2%} {run.replace('_', ' ')}" for run, part in self.accuracy.items())
            text += "; accuracy " + ", ".join(parts)
        return text
