"""From a case of the package to what a private run takes: public operands become initialisers of the model."""

import copy
import dataclasses

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

FLOATS = (np.float16, np.float32, np.float64)
# The name of the input that a folded case gets.
ZERO = "private_zero"


def is_float(array):
    """Whether an array holds floating-point numbers that every reader knows."""
    return array.dtype.type in FLOATS


def stripped(model):
    """The model without what only its author reads."""
    model = copy.deepcopy(model)
    model.doc_string = model.producer_name = model.producer_version = ""
    model.graph.doc_string = ""
    for node in model.graph.node:
        node.doc_string = ""
    return model


def private_inputs(model):
    """The model's inputs that have no initialiser."""
    fixed = {tensor.name for tensor in model.graph.initializer}
    return [value.name for value in model.graph.input if value.name not in fixed]


def bind(model, values):
    """The model with some of its inputs turned into initialisers."""
    model = stripped(model)
    # Before version 4 of the format an initialiser had to be an input as well.
    if model.ir_version >= 4:
        kept = [value for value in model.graph.input if value.name not in values]
        del model.graph.input[:]
        model.graph.input.extend(kept)
    model.graph.initializer.extend(numpy_helper.from_array(array, name) for name, array in values.items())
    return model


def fold(model, values, outputs):
    """A model whose outputs are public, with one private input of one element, 0, added to each of them.

    So there is something to run, and the public results become visible: each output as 32-bit floats.
    """
    model = bind(model, values)
    graph = model.graph
    graph.input.append(helper.make_tensor_value_info(ZERO, TensorProto.FLOAT, [1]))
    results = list(graph.output)
    del graph.output[:]
    for result, array in zip(results, outputs):
        number, seen = f"{result.name}_as_float", f"{result.name}_seen"
        graph.node.append(helper.make_node("Cast", [result.name], [number], to=TensorProto.FLOAT))
        graph.node.append(helper.make_node("Add", [number, ZERO], [seen]))
        shape = list(array.shape) or [1]
        graph.output.append(helper.make_tensor_value_info(seen, TensorProto.FLOAT, shape))
    for opset in model.opset_import:
        # Cast and Add as they are used here came with 6 and 7; the operators that reach this were then there as now.
        opset.version = max(opset.version, 9)
    return model


def first_channel(case):
    """A case of pooling with the first channel of the first sample alone; the channels do not see each other."""
    model = copy.deepcopy(case.model)
    for value in [*model.graph.input, *model.graph.output]:
        for size in value.type.tensor_type.shape.dim[:2]:
            size.dim_value = 1
    crop = lambda arrays: [array[:1, :1] for array in arrays]
    return dataclasses.replace(case, model=model, inputs=crop(case.inputs), outputs=crop(case.outputs))


def checked(model):
    """The model's bytes, after the checker of the package has seen it."""
    onnx.checker.check_model(model)
    return model.SerializeToString(deterministic=True)
