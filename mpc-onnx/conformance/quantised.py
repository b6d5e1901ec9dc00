"""Quantised networks: masks in steps that are coarse, movements of integers, and what onnxruntime's quantiser makes."""

import pathlib
import tempfile

import numpy as np
import onnx
from onnx import TensorProto as T
from onnx import helper as h
from onnx import numpy_helper as nh
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_dynamic, quantize_static

rng = np.random.default_rng(5)
N = h.make_node


def f(*shape):
    """Random numbers."""
    return rng.normal(size=shape).astype(np.float32)


def M(operator, inputs, outputs, **attributes):
    """A node of onnxruntime's domain."""
    return N(operator, inputs, outputs, domain="com.microsoft", **attributes)


def pair(x, y, scale):
    """Nodes that quantise x and give its real number back."""
    return [N("QuantizeLinear", [x, scale, f"{scale}z"], [f"{y}q"]), N("DequantizeLinear", [f"{y}q", scale, f"{scale}z"], [y])]


def masks(case):
    """Scores with a mask, quantised in steps that a calibration finds for both."""
    hidden = np.triu(np.ones((6, 6), np.float32), 1)
    given = np.array([[1, 1, 1, 1, 0, 0]], np.float32)
    x, one = 6 * f(2, 6, 6), [("y", T.FLOAT)]
    for far in (-100.0, -1e4, -1e9, float(np.finfo(np.float32).min)):
        zero = np.uint8(255)
        # Steps of the scores, of the mask with them, and of a mask of zeros and ones.
        inits = {"s": np.float32(0.15), "sz": np.uint8(128), "m": np.float32(-far / 255), "mz": zero}
        inits.update({"u": np.float32(1 / 255), "uz": np.uint8(0), "far": np.float32(far), "one": np.float32(1)})
        scores, sum_, end = pair("x", "scores", "s"), pair("sum", "near", "m"), [N("Softmax", ["near"], ["y"])]
        behind = [*sum_, *end]

        def add(name, nodes, inputs, more=()):
            # Steps of up to a half are not rounded to.
            tol = 0.04 if far == -100 else None
            case(f"q_mask_{name}_{far:.0e}", [*scores, *nodes, *behind], {**inits, **dict(more)}, inputs, one, tol=tol)

        both = {"x": x, "given": given}
        public = [("hidden", far * hidden)]
        add("added", [*pair("hidden", "mask", "m"), N("Add", ["scores", "mask"], ["sum"])], {"x": x}, public)
        add("chosen", [N("Where", ["where", "far", "scores"], ["sum"])], {"x": x}, [("where", hidden > 0)])
        lowered = [N("Sub", ["one", "given"], ["rest"]), *pair("rest", "near_rest", "u"), N("Mul", ["near_rest", "far"], ["product"])]
        moved = [N("Reshape", ["product", "row"], ["moved"]), *pair("moved", "mask", "m")]
        shape = [("row", np.array([1, 1, 6], np.int64))]
        add("private", [*lowered, *moved, N("Add", ["scores", "mask"], ["sum"])], both, shape)
        twice = [N("Add", ["scores", "mask"], ["first"]), *pair("first", "padded", "m"), N("Add", ["padded", "hidden"], ["sum"])]
        add("twice", [*lowered, *moved, *twice], both, [*shape, *public])
        is_hidden = [N("Equal", ["given", "none"], ["where"]), N("Where", ["where", "far", "scores"], ["sum"])]
        add("where_private", is_hidden, {"x": x, "given": given}, [("none", np.float32(0))])
    # Steps of signed integers, whose limits are beyond every value on both sides.
    inits = {"s": np.float32(0.15), "sz": np.uint8(128), "m": np.float32(65504 / 127), "mz": np.int8(0), "hidden": -65504 * hidden}
    nodes = [*pair("x", "scores", "s"), N("Add", ["scores", "hidden"], ["sum"]), *pair("sum", "near", "m")]
    case("q_mask_symmetric", [*nodes, N("Softmax", ["near"], ["y"])], inits, {"x": x}, one)
    # A calibration without masks: then they reach no further than its lowest value.
    inits = {"s": np.float32(0.15), "sz": np.uint8(128), "m": np.float32(0.1), "mz": np.uint8(200), "hidden": -1e4 * hidden}
    nodes = [*pair("x", "scores", "s"), N("Add", ["scores", "hidden"], ["sum"]), *pair("sum", "near", "m")]
    case("q_mask_limited", [*nodes, N("Softmax", ["near"], ["y"])], inits, {"x": x}, one, tol=0.06)


def in_operators(case):
    """The same with operators on integers."""
    hidden = np.triu(np.ones((6, 6), np.float32), 1)
    of_x, of_sum, of_mask, of_y = (["q", "s", "sz"], ["m", "mz"], ["k", "m", "mz"], ["u", "uz"])
    ends = [M("QLinearSoftmax", ["a", *of_sum, *of_y], ["p"], axis=-1, opset=13), N("DequantizeLinear", ["p", *of_y], ["y"])]
    for far in (-1e4, -1e9):
        inits = {"s": np.float32(0.15), "sz": np.uint8(128), "m": np.float32(-far / 255), "mz": np.uint8(255)}
        inits.update({"u": np.float32(1 / 255), "uz": np.uint8(0), "where": hidden > 0})
        inits["k"] = (255 - 255 * hidden).astype(np.uint8)
        begin = N("QuantizeLinear", ["x", "s", "sz"], ["q"])
        added = [begin, M("QLinearAdd", [*of_x, *of_mask, *of_sum], ["a"]), *ends]
        chosen = [begin, M("QLinearWhere", ["where", *of_mask, *of_x, *of_sum], ["a"]), *ends]
        for name, nodes in (("added", added), ("chosen", chosen)):
            case(f"q_operator_mask_{name}_{far:.0e}", nodes, inits, {"x": 6 * f(2, 6, 6)}, [("y", T.FLOAT)], tol=0.01)
    # As its optimiser lays images out, with as many channels as rows.
    of_w = {"w": rng.integers(60, 200, (4, 4, 3, 3)).astype(np.uint8), "ws": np.float32(0.01), "wz": np.uint8(128)}
    image = {"s": np.float32(0.03), "z": np.uint8(110), "t": np.float32(0.06), "tz": np.uint8(120)}
    last = {"channels_last": 1}
    around = {"kernel_shape": [2, 2], "strides": [1, 1]}
    for name, node in {
        "convolution": M("QLinearConv", ["q", "s", "z", *of_w, "t", "tz"], ["a"], pads=[1, 1, 1, 1], **last),
        "maximum": M("NhwcMaxPool", ["q"], ["a"], **around),
        "average": M("QLinearAveragePool", ["q", "s", "z", "t", "tz"], ["a"], **around, **last),
        "mean": M("QLinearGlobalAveragePool", ["q", "s", "z", "t", "tz"], ["a"], **last),
    }.items():
        of_a = ["a", "s", "z"] if name == "maximum" else ["a", "t", "tz"]
        nodes = [N("QuantizeLinear", ["x", "s", "z"], ["q"]), node, N("DequantizeLinear", of_a, ["y"])]
        weights = of_w if name == "convolution" else {}
        case(f"q_channels_last_{name}", nodes, {**image, **weights}, {"x": f(1, 4, 4, 4)}, [("y", T.FLOAT)], tol=0.12)
    # Of constants alone, whose real numbers are beyond what a private value can be.
    inits = {"k": np.array([0, 128, 255], np.uint8), "s": np.float32(1e7), "z": np.uint8(255), "t": np.float32(1e7)}
    product = [M("QLinearMul", ["k", "s", "z", "one", "o", "oz", "t", "z"], ["c"]), N("DequantizeLinear", ["c", "t", "z"], ["d"])]
    inits.update({"one": np.array([1], np.uint8), "o": np.float32(1), "oz": np.uint8(0), "small": np.float32(1e-8)})
    nodes = [*product, N("Mul", ["d", "small"], ["e"]), N("Add", ["x", "e"], ["y"])]
    case("q_operator_far_constants", nodes, inits, {"x": f(3)}, [("y", T.FLOAT)])


def movements(case):
    """Integers that are moved between a quantisation and its inverse."""
    ints = lambda *values: np.array(values, np.int64)
    for kind, zero in ((np.uint8, 110), (np.int8, -20)):
        begin, end = N("QuantizeLinear", ["x", "s", "z"], ["q"]), N("DequantizeLinear", ["a", "s", "z"], ["y"])
        scales = {"s": np.float32(0.03), "z": kind(zero)}

        def move(name, nodes, inits, x=None, opset=20, outs=(("y", T.FLOAT),)):
            x = {"x": f(2, 3, 4, 5) if x is None else x}
            case(f"q_{name}_{np.dtype(kind)}", [begin, *nodes, end], {**scales, **inits}, x, outs, opset, tol=0.0155)

        around = {"p": ints(0, 0, 1, 1, 0, 0, 2, 0)}
        move("pad", [N("Pad", ["q", "p"], ["a"])], around)
        move("pad_zero_point", [N("Pad", ["q", "p", "z"], ["a"])], around)
        move("pad_value", [N("Pad", ["q", "p", "v"], ["a"])], {**around, "v": kind(77)})
        move("pad_edge", [N("Pad", ["q", "p"], ["a"], mode="edge")], around)
        move("where", [N("Where", ["c", "q", "k"], ["a"])], {"c": rng.random((4, 5)) > 0.5, "k": np.full((4, 5), 33, kind)})
        move("clip", [N("Clip", ["q", "low", "high"], ["a"])], {"low": kind(max(0, zero - 10)), "high": kind(zero + 30)})
        move("max", [N("Max", ["q", "k"], ["a"])], {"k": kind(zero + 5)})
        move("top_k", [N("TopK", ["q", "k"], ["a", "places"])], {"k": ints(2)})
        move("reduce_max", [N("ReduceMax", ["q", "axes"], ["a"])], {"axes": ints(2)})
        places = rng.integers(0, 5, (2, 3, 4, 2))
        move("gather_elements", [N("GatherElements", ["q", "k"], ["a"], axis=3)], {"k": places})
        updates = {"k": places[..., :1], "u": np.full((2, 3, 4, 1), 44, kind)}
        move("scatter", [N("ScatterElements", ["q", "k", "u"], ["a"], axis=3)], updates)
        move("concat", [N("Concat", ["q", "k"], ["a"], axis=3)], {"k": rng.integers(0, 99, (2, 3, 4, 2)).astype(kind)})
        by = {"k": np.array([1, 1, 2, 1.5], np.float32)}
        move("resize_nearest", [N("Resize", ["q", "", "k"], ["a"], mode="nearest")], by)
        # Its result is cut off to an integer there.
        resized = [begin, N("Resize", ["q", "", "k"], ["a"], mode="linear"), end]
        case(f"q_resize_linear_{np.dtype(kind)}", resized, {**scales, **by}, {"x": f(2, 3, 4, 5)}, [("y", T.FLOAT)], 20, tol=0.04)
        written = [N("Cast", ["q"], ["real"], to=T.FLOAT), N("Sub", ["real", "zr"], ["centred"]), N("Mul", ["centred", "s"], ["r"])]
        outs = [("r", T.FLOAT), ("y", T.FLOAT)]
        move("written_out", [*written, N("Identity", ["q"], ["a"])], {"zr": np.float32(zero)}, outs=outs)
    chosen = [N("QuantizeLinear", ["x", "s", "z"], ["q"]), N("ArgMax", ["k"], ["i"], axis=0, keepdims=0)]
    chosen += [N("Gather", ["q", "i"], ["a"]), N("DequantizeLinear", ["a", "t", "z"], ["y"])]
    inits = {"s": np.float32(0.03), "t": np.float32(0.06), "z": np.uint8(120)}
    case("q_chosen_privately", chosen, inits, {"x": f(3, 4), "k": f(3, 2)}, [("y", T.FLOAT)], tol=0.031)
    twice = [*pair("x", "a", "s"), *pair("x", "b", "t"), N("Add", ["a", "b"], ["y"])]
    inits = {"s": np.float32(0.03), "sz": np.int8(0), "t": np.float32(0.03), "tz": np.uint8(128)}
    case("q_twice", twice, inits, {"x": f(3, 4)}, [("y", T.FLOAT)], tol=0.031)
    large = [N("Mul", ["x", "far"], ["m"]), *pair("m", "near", "s"), N("Mul", ["near", "small"], ["y"])]
    inits = {"far": np.float32(4000), "s": np.float32(200), "sz": np.uint8(250), "small": np.float32(1e-3)}
    case("q_limits_beyond_a_weight", large, inits, {"x": np.array([-3.5, -3, 0, 0.5, 3], np.float32)}, [("y", T.FLOAT)], tol=0.11)


def channels(case):
    """Integers with a scale for each channel, which are moved; integers beside those of a crop; integers of 16 bits."""
    ints = lambda *values: np.array(values, np.int64)
    s = np.array([0.02, 0.05, 0.11], np.float32)
    for kind, zeros in ((np.uint8, (110, 130, 128)), (np.int8, (-20, 3, 0))):
        # Numbers that are near none that two integers are equally near to.
        steps = rng.integers(-90, 90, (2, 3, 4, 6)) + rng.uniform(-0.3, 0.3, (2, 3, 4, 6))
        x = {"x": (steps * s.reshape(3, 1, 1)).astype(np.float32)}
        z = np.array(zeros, kind)

        def move(name, node, inits, axis=1, t=s, tz=z, x=x, outs=("y", "a"), tol=0.056):
            begin = N("QuantizeLinear", ["x", "s", "z"], ["q"], axis=1)
            end = N("DequantizeLinear", [outs[1], "t", "tz"], ["y"], axis=axis)
            types = [("y", T.FLOAT), ("a", T.UINT8 if kind == np.uint8 else T.INT8)]
            scales = {"s": s, "z": z, "t": t, "tz": tz}
            case(f"q_channels_{name}_{np.dtype(kind)}", [begin, node, end], {**scales, **inits}, x, types, 20, tol=tol)

        move("transpose", N("Transpose", ["q"], ["a"], perm=[0, 2, 3, 1]), {}, axis=3)
        move("reshape", N("Reshape", ["q", "k"], ["a"]), {"k": ints(2, 3, -1)})
        move("flatten", N("Flatten", ["q"], ["a"], axis=2), {}, axis=0, t=np.tile(s, 2), tz=np.tile(z, 2))
        move("unsqueeze", N("Unsqueeze", ["q", "k"], ["a"]), {"k": ints(0)}, axis=2)
        move("squeeze", N("Squeeze", ["q", "k"], ["a"]), {"k": ints(0)}, axis=0, x={"x": x["x"][:1]})
        move("slice", N("Slice", ["q", "b", "e", "k"], ["a"]), {"b": ints(1), "e": ints(3), "k": ints(1)}, t=s[1:], tz=z[1:])
        move("gather", N("Gather", ["q", "k"], ["a"], axis=1), {"k": ints(2, 0)}, t=s[[2, 0]], tz=z[[2, 0]])
        move("pool", N("MaxPool", ["q"], ["a"], kernel_shape=[2, 2]), {})
        # Other scales than they were quantised with.
        move("other", N("Transpose", ["q"], ["a"], perm=[1, 0, 2, 3]), {}, axis=0, t=2 * s, tz=z[::-1].copy(), tol=0.112)
        inits = {"s": np.float32(0.03), "z": kind(zeros[0]), "r": np.array([0, 0, -0.2, 0.1, 1, 1, 1.15, 0.8], np.float32), "k": ints(2, 3, 5, 7)}
        crop = {"coordinate_transformation_mode": "tf_crop_and_resize", "extrapolation_value": 77.0}
        for mode, tol in (("nearest", 0.0155), ("linear", 0.04)):
            nodes = [N("QuantizeLinear", ["x", "s", "z"], ["q"]), N("Resize", ["q", "r", "", "k"], ["a"], mode=mode, **crop)]
            nodes.append(N("DequantizeLinear", ["a", "s", "z"], ["y"]))
            case(f"q_crop_{mode}_{np.dtype(kind)}", nodes, inits, {"x": f(2, 3, 4, 5)}, [("y", T.FLOAT)], 19, tol=tol)
    for kind, zero in ((np.uint16, 32768), (np.int16, -5)):
        nodes = [N("QuantizeLinear", ["x", "s", "z"], ["q"]), N("Transpose", ["q"], ["a"]), N("DequantizeLinear", ["a", "s", "z"], ["y"])]
        inits = {"s": np.float32(0.0001), "z": kind(zero)}
        case(f"q_wide_{np.dtype(kind)}", nodes, inits, {"x": 2 * f(3, 5)}, [("y", T.FLOAT)], 21)


class Samples(CalibrationDataReader):
    """Inputs for a calibration."""

    def __init__(self, inputs):
        self.rest = iter([{name: make() for name, make in inputs.items()} for _ in range(8)])

    def get_next(self):
        """The next ones."""
        return next(self.rest, None)


def conv(x, y, inits, inputs, outputs, **attributes):
    """A convolution."""
    inits[f"{y}w"], inits[f"{y}b"] = 0.3 * f(outputs, inputs, 3, 3), 0.1 * f(outputs)
    return N("Conv", [x, f"{y}w", f"{y}b"], [y], name=y, pads=[1, 1, 1, 1], **attributes)


def of_images():
    """A small U-Net, whose halves a Pad makes as large as each other."""
    inits = {"by": np.array([1, 1, 2, 2], np.float32), "p": np.array([0, 0, 0, 0, 0, 0, 1, 1], np.int64)}
    nodes = [conv("x", "a", inits, 2, 4), N("Relu", ["a"], ["ar"]), N("MaxPool", ["ar"], ["d"], kernel_shape=[2, 2], strides=[2, 2])]
    nodes += [conv("d", "b", inits, 4, 4), N("LeakyRelu", ["b"], ["br"], alpha=0.1), N("Resize", ["br", "", "by"], ["u"], mode="nearest")]
    nodes += [N("Pad", ["u", "p"], ["v"]), N("Concat", ["ar", "v"], ["c"], axis=1), conv("c", "e", inits, 8, 2)]
    nodes += [N("Sigmoid", ["e"], ["es"]), N("GlobalAveragePool", ["es"], ["g"]), N("Mul", ["e", "g"], ["y"])]
    return nodes, inits, {"x": lambda: f(1, 2, 5, 5)}


def of_words(far):
    """A small attention with a mask."""
    inits = {name: 0.4 * f(8, 8) for name in ("q", "k", "v")}
    inits.update({"mask": far * np.triu(np.ones((5, 5), np.float32), 1), "root": np.float32(8**0.5), "w": 0.5 * f(8, 3)})
    nodes = [N("MatMul", ["x", name], [f"x{name}"], name=name) for name in ("q", "k", "v")]
    nodes += [N("Transpose", ["xk"], ["t"], perm=[0, 2, 1]), N("MatMul", ["xq", "t"], ["s"]), N("Div", ["s", "root"], ["r"])]
    nodes += [N("Add", ["r", "mask"], ["n"], name="mask"), N("Softmax", ["n"], ["p"]), N("MatMul", ["p", "xv"], ["z"])]
    nodes += [N("Add", ["z", "x"], ["o"]), N("MatMul", ["o", "w"], ["y"])]
    return nodes, inits, {"x": lambda: f(1, 5, 8)}


def of_tokens():
    """What onnxruntime's optimiser makes of the first layers of an encoder."""
    tables = {"words": f(9, 8), "positions": f(6, 8), "segments": f(2, 8), "gamma": 1 + 0.1 * f(8), "beta": 0.1 * f(8)}
    inits = {**tables, "qkv": 0.3 * f(8, 24), "bias": 0.1 * f(24), "w": 0.5 * f(8, 3)}
    nodes = [M("EmbedLayerNormalization", ["ids", "kinds", *tables], ["e", "counts"], name="embed", epsilon=1e-5)]
    nodes += [M("Attention", ["e", "qkv", "bias", "mask"], ["a"], name="attention", num_heads=2), N("MatMul", ["a", "w"], ["y"])]
    seen = lambda: np.array([[1, 1, 1, 1, 0, 0]], np.int32)
    inputs = {"ids": lambda: rng.integers(0, 9, (1, 6)).astype(np.int32)}
    inputs.update({"kinds": lambda: rng.integers(0, 2, (1, 6)).astype(np.int32), "mask": seen})
    return nodes, inits, inputs


SETTINGS = {
    "qdq": {"quant_format": QuantFormat.QDQ, "activation_type": QuantType.QUInt8},
    "qdq_channels": {"quant_format": QuantFormat.QDQ, "activation_type": QuantType.QInt8, "per_channel": True},
    "operators": {"quant_format": QuantFormat.QOperator, "activation_type": QuantType.QUInt8, "weight_type": QuantType.QUInt8},
    "dynamic": None,
}


def networks(add):
    """What onnxruntime's quantiser makes of small networks."""
    kinds = {"images": of_images, "words_1e4": lambda: of_words(-1e4), "words_1e9": lambda: of_words(-1e9)}
    kinds["tokens"] = of_tokens
    for kind, make in kinds.items():
        nodes, inits, inputs = make()
        x = {name: make() for name, make in inputs.items()}
        infos = [h.make_tensor_value_info(name, h.np_dtype_to_tensor_dtype(value.dtype), value.shape) for name, value in x.items()]
        weights = [nh.from_array(np.asarray(value), name) for name, value in inits.items()]
        # Of operators of its own onnxruntime finds out no types.
        known = [h.make_tensor_value_info(name, T.FLOAT, (1, 6, 8)) for name in ("e", "a") if kind == "tokens"]
        outputs = [h.make_tensor_value_info("y", T.FLOAT, None)]
        graph = h.make_graph(nodes, kind, infos, outputs, weights, value_info=known)
        model = h.make_model(graph, opset_imports=[h.make_opsetid("", 17), h.make_opsetid("com.microsoft", 1)], ir_version=8)
        tol = {"images": 0.06, "tokens": 0.05}.get(kind, 0.15)
        for setting, options in SETTINGS.items():
            with tempfile.TemporaryDirectory() as folder:
                path = pathlib.Path(folder) / "model.onnx"
                if options is None:
                    # Half of the range: sums of products of more overflow on some processors.
                    quantize_dynamic(model, path, weight_type=QuantType.QInt8, reduce_range=True)
                else:
                    quantize_static(model, path, Samples(inputs), **options)
                add(f"q_{kind}_{setting}", onnx.load(path), x, tol)


def make(case, add):
    """All of them, by what adds nodes and what adds a model."""
    masks(case)
    in_operators(case)
    movements(case)
    networks(add)
    channels(case)
