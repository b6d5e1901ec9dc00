"""Exports small networks by both of PyTorch's exporters, with their inputs and PyTorch's own outputs.

    python -m venv venv && venv/bin/pip install -r requirements-export.txt
    venv/bin/python export.py

writes exported.zip and external/, with one model whose weights are in a file of their own. README.md has the format.
The networks have random weights of a fixed seed, so their answers mean nothing; what counts is that they are the same.
"""

import contextlib
import io
import logging
import pathlib
import shutil
import warnings

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from onnx.reference import ReferenceEvaluator

import container
import convert
from networks import CONVOLUTIONAL
from sequences import SEQUENTIAL

HERE = pathlib.Path(__file__).parent
# (name of the exporter, whether it is the one by torch.export, opset)
EXPORTS = [
    ("dynamo", True, None),
    ("dynamo", True, 18),
    ("script", False, 9),
    ("script", False, 11),
    ("script", False, 13),
    ("script", False, 17),
]
# Before opset 16 the exporter by scripts keeps one of the messages that arrive at a place.
WRONG = {("messages", 9), ("messages", 11), ("messages", 13)}
# The model that is written with its weights apart, and the one that is written in half precision as well.
EXTERNAL, HALF = "mobilenetv2", "resnet_b"


def prepared(make, inputs):
    """A network of fixed weights, its batch normalisations with the statistics of some inputs, and one input."""
    torch.manual_seed(0)
    network = make()
    for module in network.modules():
        if getattr(module, "running_mean", None) is not None and module.affine:
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            torch.nn.init.normal_(module.bias, std=0.3)
    network.train()
    with torch.no_grad():
        for _ in range(20):
            network(*inputs())
        return network.eval(), inputs()


def export(network, inputs, dynamo, opset, open_batch):
    """The network as an ONNX model; raises whatever the exporter raises."""
    names = [f"input{index}" for index in range(len(inputs))]
    options = {"input_names": names, "opset_version": opset, "dynamo": dynamo}
    if dynamo and open_batch:
        batch = torch.export.Dim("batch", max=64)
        options["dynamic_shapes"] = tuple({0: batch} for _ in inputs)
    elif open_batch:
        options["dynamic_axes"] = {name: {0: "batch"} for name in names}
    if dynamo:
        # An open batch of 1 would be taken for a fixed one.
        sample = tuple(torch.cat([x, x]) if open_batch and len(x) == 1 else x for x in inputs)
        return torch.onnx.export(network, sample, verbose=False, **options).model_proto
    file = io.BytesIO()
    torch.onnx.export(network, inputs, file, **options)
    return onnx.load_from_string(file.getvalue())


def stripped(model):
    """The model without notes of where in a program a node comes from."""
    producer = model.producer_name
    model = convert.stripped(model)
    # Before opset 11 an enlargement means what its exporter means by it.
    model.producer_name = producer
    graph = model.graph
    for part in [model, graph, *graph.node, *graph.input, *graph.output, *graph.value_info, *graph.initializer]:
        if hasattr(part, "metadata_props"):
            del part.metadata_props[:]
    for function in model.functions:
        for part in [function, *function.node]:
            del part.metadata_props[:]
            part.doc_string = ""
    return model


def halved(model):
    """The same network with its floats of 32 bits as floats of 16, inputs and outputs too."""
    model = onnx.ModelProto.FromString(model.SerializeToString())
    for index, tensor in enumerate(model.graph.initializer):
        if tensor.data_type == onnx.TensorProto.FLOAT:
            half = numpy_helper.to_array(tensor).astype(np.float16)
            model.graph.initializer[index].CopyFrom(numpy_helper.from_array(half, tensor.name))
    for value in [*model.graph.input, *model.graph.output, *model.graph.value_info]:
        if value.type.tensor_type.elem_type == onnx.TensorProto.FLOAT:
            value.type.tensor_type.elem_type = onnx.TensorProto.FLOAT16
    return model


def half_outputs(half, inputs):
    """What a network with weights and inputs of 16 bits gives, computed in 32 by the package's reference."""
    model = onnx.ModelProto.FromString(half.SerializeToString())
    for index, tensor in enumerate(model.graph.initializer):
        if tensor.data_type == onnx.TensorProto.FLOAT16:
            single = numpy_helper.to_array(tensor).astype(np.float32)
            model.graph.initializer[index].CopyFrom(numpy_helper.from_array(single, tensor.name))
    rounded = tuple(x.half().float() for x in inputs)
    named = {value.name: x.numpy() for value, x in zip(model.graph.input, rounded)}
    return rounded, [torch.from_numpy(y) for y in ReferenceEvaluator(model).run(None, named)]


def run(network, inputs):
    """PyTorch's outputs."""
    with torch.no_grad():
        outputs = network(*inputs)
    return list(outputs) if isinstance(outputs, tuple) else [outputs]


def entry(blob, name, model, inputs, outputs):
    """The index entry of a model; `model` is None where it is a file in external/."""
    pieces = []
    if model is not None:
        onnx.checker.check_model(model)
        tensors = sorted({tensor.raw_data for tensor in model.graph.initializer}, key=len, reverse=True)
        pieces = blob.model(model.SerializeToString(deterministic=True), tensors)
    arrays = lambda kind, values: [blob.tensor(f"{kind}{i}", value.numpy()) for i, value in enumerate(values)]
    operators = sorted({node.op_type for node in model.graph.node}) if model is not None else []
    return {
        "name": name,
        "kind": "exported",
        "operators": operators,
        "model": pieces,
        "inputs": arrays("input", inputs),
        "outputs": arrays("output", outputs),
    }


def write_external(model):
    """external/model.onnx with its weights in external/model.onnx.data, as the exporter by torch.export does it."""
    folder = HERE / "external"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    options = {"save_as_external_data": True, "location": "model.onnx.data", "size_threshold": 64}
    onnx.save_model(model, folder / "model.onnx", **options)


def networks():
    """(name, network, inputs, whether the batch is open)."""
    for name, (make, inputs, open_batch) in {**CONVOLUTIONAL, **SEQUENTIAL}.items():
        yield name, *prepared(make, inputs), open_batch


def main():
    """Makes exported.zip and external/."""
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    torch.use_deterministic_algorithms(True)
    torch.set_num_threads(1)
    blob, entries, failed = container.Blob(), [], []
    for name, network, inputs, open_batch in networks():
        outputs = run(network, inputs)
        for exporter, dynamo, opset in EXPORTS:
            if (name, opset) in WRONG:
                failed.append(f"{name}/{exporter}{opset}: computes something else")
                continue
            try:
                # The exporters print the whole graph where they fail.
                with contextlib.redirect_stdout(io.StringIO()):
                    model = stripped(export(network, inputs, dynamo, opset, open_batch))
            except Exception as error:
                failed.append(f"{name}/{exporter}{opset or ''}: {str(error).strip().splitlines()[0][:160]}")
                continue
            written = next(o.version for o in model.opset_import if o.domain in ("", "ai.onnx"))
            entries.append(entry(blob, f"{name}/{exporter}{written}", model, inputs, outputs))
            if name == EXTERNAL and opset is None:
                write_external(model)
                entries.append(entry(blob, f"{name}/external", None, inputs, outputs))
            if name == HALF and opset == 17:
                half = halved(model)
                entries.append(entry(blob, f"{name}/half", half, *half_outputs(half, inputs)))
    print(container.write(HERE / "exported.zip", {"cases": entries, "left_out": []}, blob))
    print(f"{len(entries)} models; not exported:", *failed, sep="\n  ")


if __name__ == "__main__":
    main()
