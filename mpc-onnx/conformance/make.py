"""Packs the conformance cases of the onnx package for the tests of this crate, and lists those left out.

    python -m venv venv && venv/bin/pip install -r requirements.txt
    venv/bin/python make.py

writes node_tests.zip and left_out.md beside this file, byte for byte the same in every run. README.md has the format.
"""

import collections
import pathlib

import numpy as np

import container
import convert
import operators
from cases import all_cases

HERE = pathlib.Path(__file__).parent
# What a plan of f = 16 and k = 32 holds, 2^14: inputs and outputs of the case stay below.
LARGEST = 16000.0
# A pooling of more elements is shortened.
SHORTENED = 20_000
# A case of more elements is left out.
LONGEST = 500_000

REFUSED = "refused"


class Left(Exception):
    """A case is left out: group, and what is special about this one."""


def check_operators(case):
    """Leaves a case out by its operators and modes."""
    found = case.operators()
    if found & operators.RANDOM:
        raise Left("random numbers", ", ".join(sorted(found & operators.RANDOM)))
    if "training_dropout" in case.name and "zero_ratio" not in case.name:
        raise Left("training mode", "Dropout")
    if other := found - operators.COVERED:
        raise Left("operator not in the set", ", ".join(sorted(other)))
    for group, table in ((REFUSED, operators.REFUSED), ("less precise than the bound", operators.COARSE)):
        if reason := operators.matching(case.name, table):
            raise Left(group, reason)
    if case.group == "light":
        raise Left("a whole network of 224×224 images", "its weights are constants made at run time")


def check_values(case):
    """Leaves a case out by the types and values of its data."""
    arrays = [*case.inputs, *case.outputs]
    if any(not isinstance(array, (np.ndarray, np.generic)) for array in arrays):
        raise Left("not a tensor of numbers", "sequence, optional or 4-bit type")
    known = {
        str(array.dtype) for array in arrays if array.dtype.kind in "fiub" or str(array.dtype) in operators.FEW_BITS
    }
    results = {str(array.dtype) for array in case.outputs if str(array.dtype) in operators.SMALL_FLOATS}
    if bad := {str(array.dtype) for array in arrays} - known | results:
        raise Left("not a tensor of numbers", ", ".join(sorted(bad)))
    if not case.outputs:
        raise Left("no data", "")
    # A list of no axes is an empty input that counts for nothing.
    if any(array.size == 0 for array in case.outputs + [x for x in case.inputs if x.shape != (0,)]):
        raise Left("a tensor without elements", "")
    if any(array.ndim > 8 for array in arrays):
        raise Left("more than 8 axes", "")
    if any(not np.isfinite(array.astype(np.float64)).all() for array in arrays):
        raise Left("NaN or infinite values", "")
    for what, some in (("input", case.inputs), ("output", case.outputs)):
        # Sizes and limits may be larger.
        some = [x for x in some if x.size and (convert.is_float(x) or what == "output")]
        largest = max((float(np.abs(x.astype(np.float64)).max()) for x in some), default=0.0)
        if largest >= LARGEST:
            raise Left("values beyond the range of a plan (f = 16, k = 32)", f"{what} of {largest:.4g}")


def public_result(case, private):
    """Whether no output depends on the value of a private input."""
    secret = set(private)
    for node in case.model.graph.node:
        read = node.input[:1] if node.op_type == "CastLike" else node.input
        if node.op_type not in ("Shape", "Size", "ConstantOfShape", "EyeLike") and secret & set(read):
            secret |= set(node.output)
    return not any(value.name in secret for value in case.model.graph.output)


def variants(case, parents):
    """(suffix, kind, model, private inputs) of each way to run a case."""
    names = convert.private_inputs(case.model)
    if len(names) != len(case.inputs):
        raise Left("no data", "fewer arrays than inputs")
    named = dict(zip(names, (np.asarray(array) for array in case.inputs)))
    parent = parents.get(case.name.split("_expanded")[0], case).model
    limits = operators.operands(parent, operators.PUBLIC)
    public = {n: a for n, a in named.items() if n in limits or not convert.is_float(a)}
    private = {n: a for n, a in named.items() if n not in public}
    if public_result(case, private):
        model = convert.fold(case.model, public, case.outputs)
        yield "", "folded", model, {**private, convert.ZERO: np.zeros(1, np.float32)}
        return
    weights = {n: a for n, a in private.items() if n in operators.operands(parent, operators.WEIGHTS)}
    yield "", "private", convert.bind(case.model, public), private
    if weights and len(weights) < len(private):
        rest = {n: a for n, a in private.items() if n not in weights}
        yield "/weights", "weights", convert.bind(case.model, {**public, **weights}), rest


def entries(blob, case, parents):
    """The entries of the index for one case."""
    check_operators(case)
    check_values(case)
    if case.operators() <= operators.POOLS and max(x.size for x in case.inputs) > SHORTENED:
        case = convert.first_channel(case)
    if (longest := max((x.size for x in case.inputs), default=0)) > LONGEST:
        raise Left("a tensor that would fill half of the file", f"{longest} elements")
    for suffix, kind, model, private in variants(case, parents):
        arrays = [np.atleast_1d(array) if kind == "folded" else np.asarray(array) for array in case.outputs]
        results = zip((value.name for value in model.graph.output), arrays)
        yield {
            "name": case.name + suffix,
            "kind": kind,
            "operators": sorted(case.operators()),
            "model": blob.model(convert.checked(model)),
            "inputs": [blob.tensor(name, array) for name, array in private.items()],
            "outputs": [blob.tensor(name, array) for name, array in results],
        }


def write_left_out(left, packed, total):
    """The table of what is not in the set, and why."""
    kinds = collections.Counter(entry["kind"] for entry in packed)
    cases = len({entry["name"].removesuffix("/weights") for entry in packed})
    lines = [
        "# Conformance cases that are left out",
        "",
        "Written by `make.py`; do not edit.",
        "",
        f"Of {total} cases of the package, {cases} are in the set: {kinds['private']} with private operands"
        f" ({kinds['weights']} of them a second time with their parameters as weights), and {kinds['folded']} whose"
        f" result is public. The other {total - cases}:",
    ]
    for group in sorted(left):
        details = left[group]
        lines += ["", f"## {group[0].upper()}{group[1:]} ({sum(map(len, details.values()))})", ""]
        for detail in sorted(details):
            names = ", ".join(f"`{name}`" for name in details[detail])
            lines += [f"- {detail}: {names}" if detail else f"- {names}"]
    (HERE / "left_out.md").write_text("\n".join(lines) + "\n")


def main():
    """Makes both files."""
    blob, packed, refused = container.Blob(), [], []
    left = collections.defaultdict(lambda: collections.defaultdict(list))
    cases = all_cases()
    parents = {case.name: case for case in cases}
    for case in cases:
        try:
            packed += list(entries(blob, case, parents))
        except Left as reason:
            group, detail = reason.args
            left[group][detail].append(case.name)
            model = blob.model(convert.stripped(case.model).SerializeToString(deterministic=True))
            refused.append({"name": case.name, "reason": group, "model": model})
    about = container.write(HERE / "node_tests.zip", {"cases": packed, "left_out": refused}, blob)
    write_left_out(left, packed, len(cases))
    print(f"{len(packed)} entries, {len(refused)} left out, {about}")


if __name__ == "__main__":
    main()
