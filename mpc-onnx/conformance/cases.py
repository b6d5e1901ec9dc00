"""The cases of the onnx package, each as a model, its inputs and its outputs, in a fixed order."""

import dataclasses
import pathlib
import warnings

import numpy as np
import onnx
from onnx import numpy_helper, version_converter

FOLDERS = ["pytorch-converted", "pytorch-operator", "simple", "light"]


@dataclasses.dataclass
class Case:
    """One model with one set of data."""

    name: str
    group: str
    model: onnx.ModelProto
    inputs: list  # of arrays, or whatever else the package has, in the order of the model's inputs
    outputs: list

    def operators(self):
        """All operators, with their domains where they have one, those of bodies and functions too."""
        found = set()

        def visit(nodes):
            for node in nodes:
                found.add(node.op_type if node.domain in ("", "ai.onnx") else f"{node.domain}.{node.op_type}")
                for attribute in node.attribute:
                    visit(attribute.g.node)
                    for graph in attribute.graphs:
                        visit(graph.node)

        visit(self.model.graph.node)
        for function in self.model.functions:
            visit(function.node)
        return found


def array(value):
    """The package has some tensors in their stored form."""
    return numpy_helper.to_array(value) if isinstance(value, onnx.TensorProto) else value


def node_cases():
    """The node tests, which the package makes when its modules are imported: from random data, hence the seed."""
    np.random.seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from onnx.backend.test.case.node import collect_testcases

        found = collect_testcases(None)
    for case in found:
        for index, (inputs, outputs) in enumerate(case.data_sets):
            name = case.name + (f"_set{index}" if index else "")
            yield Case(name, "node", case.model, [array(x) for x in inputs], [array(y) for y in outputs])


def upgraded(model):
    """Old models with opset 9, the first that the import promises, where the package can convert them."""
    if all(opset.version >= 7 for opset in model.opset_import if opset.domain in ("", "ai.onnx")):
        return model
    try:
        return version_converter.convert_version(model, 9)
    except Exception:
        return model


def stored_cases(group):
    """The cases that the package has as files; a whole network in `light` comes without data."""
    data = pathlib.Path(onnx.__file__).parent / "backend/test/data" / group
    for model_file in sorted([*data.glob("*/model.onnx"), *data.glob("*.onnx")]):
        model = onnx.load(model_file)
        if model_file.name != "model.onnx":
            yield Case(f"{group}/{model_file.stem}", group, model, [], [])
            continue
        for index, folder in enumerate(sorted(model_file.parent.glob("test_data_set_*"))):
            read = lambda kind: [
                numpy_helper.to_array(onnx.load_tensor(folder / f"{kind}_{position}.pb"))
                for position in range(len(list(folder.glob(f"{kind}_*.pb"))))
            ]
            try:
                inputs, outputs = read("input"), read("output")
            except Exception:  # sequences and other types
                inputs, outputs = [None], [None]
            name = f"{group}/{model_file.parent.name}" + (f"_set{index}" if index else "")
            yield Case(name, group, upgraded(model), inputs, outputs)


def all_cases():
    """Every case of the package."""
    cases = list(node_cases())
    for group in FOLDERS:
        cases += stored_cases(group)
    return cases
