"""Makes small models of operators, and of scikit-learn's estimators, with the outputs that onnxruntime gives.

    python -m venv venv && venv/bin/pip install -r requirements-made.txt
    venv/bin/python made.py [FOLDER]

writes made.zip, and with a folder of reported networks (each a folder with case.json, model.onnx, input_*.npy and
expected_*.npy) reported.zip as well. README.md has the format.
"""

import json
import pathlib
import sys
import warnings

import ml_dtypes
import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto as T
from onnx import helper as h
from onnx import numpy_helper as nh
from onnx.reference import ReferenceEvaluator
from skl2onnx import to_onnx
from sklearn.cluster import KMeans
from sklearn.cross_decomposition import PLSRegression
from sklearn.datasets import load_diabetes, load_iris
from sklearn.decomposition import PCA, TruncatedSVD
from sklearn.discriminant_analysis import (
    LinearDiscriminantAnalysis,
    QuadraticDiscriminantAnalysis,
)
from sklearn.ensemble import (
    AdaBoostClassifier,
    AdaBoostRegressor,
    BaggingClassifier,
    ExtraTreesClassifier,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF
from sklearn.impute import SimpleImputer
from sklearn.linear_model import (
    BayesianRidge,
    Lasso,
    LinearRegression,
    LogisticRegression,
    Ridge,
    SGDClassifier,
)
from sklearn.multiclass import OneVsOneClassifier
from sklearn.naive_bayes import BernoulliNB, ComplementNB, GaussianNB, MultinomialNB
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    Binarizer,
    KBinsDiscretizer,
    MaxAbsScaler,
    MinMaxScaler,
    Normalizer,
    PolynomialFeatures,
    RobustScaler,
    StandardScaler,
)
from sklearn.svm import SVC, SVR, LinearSVR, NuSVC, OneClassSVM
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

import container
import quantised

HERE = pathlib.Path(__file__).parent
F, I, B = T.FLOAT, T.INT64, T.BOOL
ML = "ai.onnx.ml"
# (name, model, inputs by name, outputs, largest error)
CASES = []
rng = np.random.default_rng(1)


def f(*shape):
    """Random numbers."""
    return rng.normal(size=shape).astype(np.float32)


def N(operator, inputs, outputs, **attributes):
    """A node."""
    return h.make_node(operator, inputs, outputs, **attributes)


def M(operator, inputs, outputs, **attributes):
    """A node of onnxruntime's domain."""
    return h.make_node(operator, inputs, outputs, domain="com.microsoft", **attributes)


def expected(model, names, inputs, level=ort.GraphOptimizationLevel.ORT_ENABLE_ALL):
    """What onnxruntime gives, or where it does not know the model, ONNX's reference."""
    options = ort.SessionOptions()
    options.graph_optimization_level = level
    options.log_severity_level = 4
    try:
        return ort.InferenceSession(model.SerializeToString(), options).run(names, inputs)
    except Exception:
        return ReferenceEvaluator(model).run(names, inputs)


def case(name, nodes, inits, inputs, outs, opset=17, tol=None, functions=(), ref=None):
    """A model of these nodes."""
    infos = [h.make_tensor_value_info(k, h.np_dtype_to_tensor_dtype(v.dtype), v.shape) for k, v in inputs.items()]
    results = [h.make_tensor_value_info(o, kind, None) for o, kind in outs]
    graph = h.make_graph(nodes, name, infos, results, [nh.from_array(np.asarray(v), k) for k, v in inits.items()])
    domains = {"": opset, "com.microsoft": 1, **{function.domain: 1 for function in functions}}
    if any(node.domain == ML for node in nodes):
        domains[ML] = 5
    sets = [h.make_opsetid(domain, version) for domain, version in domains.items()]
    version = 8 if opset < 23 else 11
    model = h.make_model(graph, opset_imports=sets, ir_version=version, functions=list(functions))
    outputs = ref if ref is not None else expected(model, [o for o, _ in outs], inputs)
    CASES.append((name, model, inputs, [np.asarray(y) for y in outputs], tol))


def whole(name, model, inputs, tol):
    """A model that is made already, as it stands: sums of products of integers overflow on some processors."""
    level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    outputs = expected(model, [output.name for output in model.graph.output], inputs, level)
    CASES.append((name, model, inputs, outputs, tol))


def trees():
    """Ensembles of trees as version 5 of the domain has them."""
    LEQ, LT, GTE, GT, EQ, NEQ, MEMBER = range(7)
    x = np.array([[1.2, 3, -0.1], [2.5, 7, 12], [4, 0, 0.5], [-3, 5, 2.5], [2, 2, 2]], np.float32)

    def ensemble(name, roots, nodes, leaves, targets=1, sets=None, missing=None, **attributes):
        """Nodes of (mode, feature, split, (child, is leaf) if true, and if false), leaves of (target, weight)."""
        modes, features, splits, yes, no = zip(*nodes)
        attributes.update(
            n_targets=targets,
            tree_roots=roots,
            nodes_modes=nh.from_array(np.array(modes, np.uint8)),
            nodes_featureids=features,
            nodes_splits=nh.from_array(np.array(splits, np.float32)),
            nodes_truenodeids=[child for child, _ in yes],
            nodes_trueleafs=[leaf for _, leaf in yes],
            nodes_falsenodeids=[child for child, _ in no],
            nodes_falseleafs=[leaf for _, leaf in no],
            leaf_targetids=[target for target, _ in leaves],
            leaf_weights=nh.from_array(np.array([weight for _, weight in leaves], np.float32)),
        )
        if sets:
            members = np.concatenate([[*members, np.nan] for members in sets]).astype(np.float32)
            attributes["membership_values"] = nh.from_array(members)
        if missing:
            attributes["nodes_missing_value_tracks_true"] = missing
        node = h.make_node("TreeEnsemble", ["x"], ["y"], domain=ML, **attributes)
        case(f"trees_{name}", [node], {}, {"x": x}, [("y", F)], opset=22)

    def L(leaf):
        return leaf, 1

    def inner(node):
        return node, 0

    deep = [
        (LEQ, 0, 2.0, inner(1), inner(2)),
        (GT, 1, 2.5, L(0), L(1)),
        (GTE, 2, 0.5, L(2), inner(3)),
        (LT, 1, 1.0, L(3), L(4)),
    ]
    ends = [(0, 1.5), (0, -2.25), (0, 0.75), (0, 4.0), (0, 0.125)]
    ensemble("one", [0], deep, ends)
    ensemble("missing", [0], deep, ends, missing=[1, 0, 1, 0])
    # The second tree is one node, whose leaf is the same either way.
    lone = [*deep, (LEQ, 0, 0.0, L(5), L(5))]
    ensemble("leaf_alone", [0, 4], lone, [*ends, (0, 10.0)])
    two = [*deep, (EQ, 1, 7.0, L(5), inner(5)), (NEQ, 1, 5.0, L(6), L(7))]
    three = [*ends, (0, 2.0), (0, -1.0), (0, 0.5)]
    ensemble("sum", [0, 4], two, three)
    ensemble("average", [0, 4], two, three, aggregate_function=0)
    ensemble("smallest", [0, 4], two, three, aggregate_function=2)
    ensemble("largest", [0, 4], two, three, aggregate_function=3)
    targets = [(i % 3, weight) for i, (_, weight) in enumerate(three)]
    ensemble("targets", [0, 4], two, targets, targets=3)
    # The first target has one tree, the second has two.
    third = [*two, (GT, 2, 1.0, L(8), L(9))]
    of_two = [*ends, (1, 2.0), (1, -1.0), (1, 0.5), (1, 1.0), (1, -4.0)]
    ensemble("largest_targets", [0, 4, 6], third, of_two, targets=2, aggregate_function=3)
    members = [(MEMBER, 1, 0.0, L(0), inner(1)), (MEMBER, 0, 0.0, inner(2), L(1)), (LEQ, 2, 1.0, L(2), L(3))]
    ensemble("members", [0], members, ends[:4], sets=[[3, 7, 11], [4, 2.5]])


def fit(name, estimator, X, y=None, options=None, rows=4, tol=None):
    """An estimator of scikit-learn, by its converter."""
    estimator.fit(X, y) if y is not None else estimator.fit(X)
    x = X[:: max(1, len(X) // rows)][:rows].astype(np.float32)
    model = to_onnx(estimator, X[:1].astype(np.float32), options=options, target_opset=17)
    session = ort.InferenceSession(model.SerializeToString())
    input_name = session.get_inputs()[0].name
    outputs = []
    for y in session.run(None, {input_name: x}):
        if isinstance(y, list):
            y = np.array([list(row.values()) for row in y], np.float32)
        outputs.append(np.asarray(y))
    CASES.append((f"skl_{name}", model, {input_name: x}, outputs, tol))


def cls(name, estimator, X=None, y=None):
    """A classifier, with its probabilities as an array."""
    iris = load_iris(return_X_y=True)
    X, y = (iris[0] if X is None else X, iris[1] if y is None else y)
    fit(name, estimator, X, y, options={id(estimator): {"zipmap": False}})


def operators():
    """Operators one by one, at the values where they are difficult."""
    halves = np.array(
        [-2.5, -1.5, -0.5, 0.5, 1.5, 2.5, 0.0, -0.0, 3.0, -3.0, 2.49, -1.51, 100.5, -7.999, 4095.5, -9000.25],
        np.float32,
    )
    for op in ["Floor", "Ceil", "Round", "Sin", "Cos", "Tan", "Atan", "Sinh", "Cosh", "Asinh", "Sign"]:
        x = (
            halves
            if op in ("Floor", "Ceil", "Round", "Sign")
            else (halves[:12] if op not in ("Tan", "Sinh", "Cosh") else np.array([-1.2, -0.5, 0, 0.3, 1.1], np.float32))
        )
        case("op_" + op.lower(), [N(op, ["x"], ["y"])], {}, {"x": x}, [("y", F)])
    case(
        "sin_large",
        [N("Sin", ["x"], ["y"])],
        {},
        {"x": np.array([100.0, -50.0, 31.4, 1000.0], np.float32)},
        [("y", F)],
        tol=0.05,
    )
    case("op_acosh", [N("Acosh", ["x"], ["y"])], {}, {"x": np.array([1.5, 2, 10, 50], np.float32)}, [("y", F)])
    for op in ("Asin", "Acos", "Atanh"):
        case(
            "op_" + op.lower(),
            [N(op, ["x"], ["y"])],
            {},
            {"x": np.array([-0.9, -0.5, 0, 0.2, 0.8], np.float32)},
            [("y", F)],
        )
    mx = np.array([-4.3, 7.2, 5.0, 4.3, -7.2, 8.0, 6.0, -6.0, 0.0], np.float32)
    for fm in (0, 1):
        for ny, yv in (
            ("c3", np.float32(3.0)),
            ("cm", np.array([2.1, -3.4, 8.0, -2.1, 3.4, 5.0, 3.0, 3.0, 2.0], np.float32)),
        ):
            if fm == 0:
                e = np.mod(mx, yv)
            else:
                e = np.fmod(mx, yv)
            case(f"mod_{fm}_{ny}", [N("Mod", ["x", "k"], ["y"], fmod=fm)], {"k": yv}, {"x": mx}, [("y", F)], ref=[e])
            case(
                f"mod_{fm}_{ny}_secret",
                [N("Mod", ["x", "k"], ["y"], fmod=fm)],
                {},
                {"x": mx, "k": np.broadcast_to(yv, mx.shape).copy()},
                [("y", F)],
                ref=[e],
                tol=5e-3,
            )
    case(
        "mod_const_left",
        [N("Mod", ["k", "x"], ["y"], fmod=1)],
        {"k": np.float32(7)},
        {"x": np.array([2.5, 3.0, -2.0], np.float32)},
        [("y", F)],
        ref=[np.fmod(np.float32(7), np.array([2.5, 3.0, -2.0], np.float32))],
    )
    # ints
    ti = np.array([[3, -7, 8], [0, 5, -1]], np.int64)
    case(
        "int_div",
        [N("Div", ["t", "k"], ["d"]), N("Cast", ["d"], ["y"], to=F)],
        {"k": np.int64(2)},
        {"t": ti},
        [("y", F)],
    )
    case(
        "int_mod",
        [N("Mod", ["t", "k"], ["d"]), N("Cast", ["d"], ["y"], to=F)],
        {"k": np.int64(3)},
        {"t": ti},
        [("y", F)],
    )
    case(
        "int_cast_div_float",
        [N("Cast", ["t"], ["c"], to=F), N("Div", ["c", "k"], ["y"])],
        {"k": np.float32(2)},
        {"t": ti},
        [("y", F)],
    )
    case(
        "int_equal_where",
        [N("Equal", ["t", "k"], ["e"]), N("Where", ["e", "a", "b"], ["y"])],
        {"k": np.int64(5), "a": f(2, 3), "b": np.float32(-2)},
        {"t": ti},
        [("y", F)],
    )
    case(
        "cast_to_int_bool",
        [
            N("Cast", ["x"], ["i"], to=I),
            N("Cast", ["i"], ["a"], to=F),
            N("Cast", ["x"], ["b"], to=B),
            N("Cast", ["b"], ["c"], to=F),
            N("Add", ["a", "c"], ["y"]),
        ],
        {},
        {"x": np.array([-2.7, -0.3, 0, 0.9, 1.0, 2.7], np.float32)},
        [("y", F)],
    )
    case(
        "bool_input_and",
        [N("And", ["a", "b"], ["c"]), N("Not", ["c"], ["d"]), N("Cast", ["d"], ["y"], to=F)],
        {},
        {"a": np.array([True, False, True]), "b": np.array([True, True, False])},
        [("y", F)],
    )
    tok = np.array([[1, 4, 0, 2]], np.int64)
    case(
        "tokens_two_tables",
        [N("Gather", ["w", "t"], ["a"]), N("Gather", ["v", "t"], ["b"]), N("Add", ["a", "b"], ["y"])],
        {"w": f(6, 3), "v": f(5, 3)},
        {"t": tok},
        [("y", F)],
    )
    case(
        "tokens_gather_and_mask",
        [
            N("Gather", ["w", "t"], ["a"]),
            N("Equal", ["t", "p"], ["e"]),
            N("Cast", ["e"], ["c"], to=F),
            N("Unsqueeze", ["c", "ax"], ["u"]),
            N("Mul", ["a", "u"], ["y"]),
        ],
        {"w": f(6, 3), "p": np.int64(4), "ax": np.array([-1], np.int64)},
        {"t": tok},
        [("y", F)],
    )
    case("tokens_axis1", [N("Gather", ["w", "t"], ["y"], axis=1)], {"w": f(3, 6, 2)}, {"t": tok}, [("y", F)])
    case("gather_secret_data", [N("Gather", ["x", "t"], ["y"], axis=0)], {}, {"x": f(6, 3), "t": tok[0]}, [("y", F)])
    case(
        "onehot_axis0",
        [N("OneHot", ["t", "d", "v"], ["y"], axis=0)],
        {"d": np.int64(6), "v": np.array([-1, 2], np.float32)},
        {"t": tok[0]},
        [("y", F)],
    )
    case(
        "argmax_onehot",
        [N("ArgMax", ["x"], ["i"], axis=-1, keepdims=0), N("OneHot", ["i", "d", "v"], ["y"])],
        {"d": np.int64(5), "v": np.array([0, 1], np.float32)},
        {"x": f(3, 5)},
        [("y", F)],
    )
    case(
        "argmax_cast_mul",
        [N("ArgMax", ["x"], ["i"], axis=1, keepdims=1), N("Cast", ["i"], ["c"], to=F), N("Mul", ["c", "k"], ["y"])],
        {"k": np.float32(0.5)},
        {"x": f(3, 5)},
        [("y", F)],
    )
    case(
        "argmin_last_gather",
        [N("ArgMin", ["x"], ["i"], axis=1, keepdims=0, select_last_index=1), N("Gather", ["w", "i"], ["y"])],
        {"w": f(4, 2)},
        {"x": np.array([[1, 0, 0, 2], [3, 3, 3, 3]], np.float32)},
        [("y", F)],
    )
    case(
        "hardmax13",
        [N("Hardmax", ["x"], ["y"], axis=1)],
        {},
        {"x": np.array([[[1, 2], [3, 2], [3, 1]]], np.float32)},
        [("y", F)],
        opset=13,
    )
    case(
        "if_secret",
        [
            h.make_node(
                "If",
                ["c"],
                ["y"],
                then_branch=h.make_graph(
                    [N("Mul", ["x", "x"], ["r"])], "t", [], [h.make_tensor_value_info("r", F, None)]
                ),
                else_branch=h.make_graph([N("Neg", ["x"], ["q"])], "e", [], [h.make_tensor_value_info("q", F, None)]),
            )
        ],
        {},
        {"x": f(2, 3), "c": np.array(True)},
        [("y", F)],
    )

    # masks
    def attn(maskn, name, inits, ins):
        w = {k: f(6, 6) for k in ("wq", "wk", "wv")}
        nodes = maskn + [
            N("MatMul", ["x", "wq"], ["q"]),
            N("MatMul", ["x", "wk"], ["k"]),
            N("MatMul", ["x", "wv"], ["v"]),
            N("Transpose", ["k"], ["kt"], perm=[0, 2, 1]),
            N("MatMul", ["q", "kt"], ["s0"]),
            N("Mul", ["s0", "rt"], ["s1"]),
            N("Add", ["s1", "m"], ["s2"]),
            N("Softmax", ["s2"], ["p"], axis=-1),
            N("MatMul", ["p", "v"], ["y"]),
        ]
        case(name, nodes, {**w, "rt": np.float32(0.4), **inits}, {"x": f(1, 4, 6), **ins}, [("y", F)])

    mask = np.array([[1, 1, 1, 0]], np.int64)
    un = {"u1": np.array([1], np.int64)}
    for nm, big in (
        ("min", np.finfo(np.float32).min),
        ("1e4", np.float32(-1e4)),
        ("1e9", np.float32(-1e9)),
        ("fp16", np.float32(-65504)),
    ):
        attn(
            [
                N("Unsqueeze", ["am", "u1"], ["a1"]),
                N("Cast", ["a1"], ["a2"], to=F),
                N("Sub", ["one", "a2"], ["a3"]),
                N("Mul", ["a3", "big"], ["m"]),
            ],
            f"mask_int_{nm}",
            {**un, "one": np.float32(1), "big": big},
            {"am": mask},
        )
        attn(
            [N("Unsqueeze", ["am", "u1"], ["a1"]), N("Sub", ["one", "a1"], ["a3"]), N("Mul", ["a3", "big"], ["m"])],
            f"mask_float_{nm}",
            {**un, "one": np.float32(1), "big": big},
            {"am": mask.astype(np.float32)},
        )
        attn(
            [N("Unsqueeze", ["am", "u1"], ["a1"]), N("Where", ["a1", "z", "big"], ["m"])],
            f"mask_bool_{nm}",
            {**un, "z": np.float32(0), "big": big},
            {"am": mask.astype(bool)},
        )
        attn(
            [
                N("Unsqueeze", ["am", "u1"], ["a1"]),
                N("Cast", ["a1"], ["a2"], to=B),
                N("And", ["a2", "causal"], ["a3"]),
                N("Where", ["a3", "z", "big"], ["m"]),
            ],
            f"mask_and_{nm}",
            {**un, "z": np.float32(0), "big": big, "causal": np.tril(np.ones((1, 4, 4), bool))},
            {"am": mask},
        )
    attn(
        [
            N("Unsqueeze", ["am", "u1"], ["a1"]),
            N("Equal", ["a1", "z"], ["a2"]),
            N("Where", ["a2", "ninf", "zf"], ["m"]),
        ],
        "mask_equal_inf",
        {**un, "z": np.int64(0), "zf": np.float32(0), "ninf": np.float32(-np.inf)},
        {"am": mask},
    )
    # scatter
    for red in ("none", "add", "mul", "max", "min"):
        k = {} if red == "none" else {"reduction": red}
        case(
            f"scatter_{red}",
            [N("ScatterElements", ["z", "i", "x"], ["y"], axis=0, **k)],
            {
                "z": f(4, 3),
                "i": np.array(
                    [[0, 1, 2], [0, 3, 2], [2, 2, 2]] if red != "none" else [[0, 1, 2], [1, 3, 0], [2, 2, 3]], np.int64
                ),
            },
            {"x": f(3, 3)},
            [("y", F)],
            opset=18,
        )
        case(
            f"scatternd_{red}",
            [N("ScatterND", ["z", "i", "x"], ["y"], **k)],
            {"z": f(4, 3), "i": np.array([[0], [2], [2]] if red != "none" else [[0], [2], [1]], np.int64)},
            {"x": f(3, 3)},
            [("y", F)],
            opset=18,
        )
        case(
            f"scatter_const_{red}",
            [N("ScatterElements", ["z", "i", "u"], ["c"], axis=0, **k), N("Mul", ["c", "x"], ["y"])],
            {
                "z": f(4, 3),
                "u": f(3, 3),
                "i": np.array(
                    [[0, 1, 2], [0, 3, 2], [2, 2, 2]] if red != "none" else [[0, 1, 2], [1, 3, 0], [2, 2, 3]], np.int64
                ),
            },
            {"x": f(4, 3)},
            [("y", F)],
            opset=18,
        )
    case(
        "scatter_max_least",
        [N("ScatterElements", ["z", "i", "x"], ["y"], axis=0, reduction="max")],
        {
            "z": np.full((2, 3), np.finfo(np.float32).min, np.float32),
            "i": np.array([[0, 1, 0], [1, 0, 1], [0, 0, 1]], np.int64),
        },
        {"x": f(3, 3)},
        [("y", F)],
        opset=18,
    )
    # einsum
    for eq, shs in (
        ("...ij,...jk->...ik", [(2, 2, 3), (1, 3, 2)]),
        ("bii->bi", [(2, 3, 3)]),
        ("ii->", [(3, 3)]),
        ("...->...", [(2, 3)]),
        ("bij,bij->b", [(2, 2, 3), (2, 2, 3)]),
        ("i...,...j", [(3, 2), (2, 4)]),
        ("bhid,bhjd->bhij", [(1, 2, 3, 4), (1, 2, 3, 4)]),
    ):
        case(
            "einsum_" + "".join(c if c.isalnum() else "_" for c in eq),
            [N("Einsum", [f"x{i}" for i in range(len(shs))], ["y"], equation=eq)],
            {},
            {f"x{i}": f(*s) for i, s in enumerate(shs)},
            [("y", F)],
        )
    case(
        "einsum_const_sum",
        [N("Einsum", ["x", "w"], ["y"], equation="ij,jkl->ik")],
        {"w": f(3, 4, 2)},
        {"x": f(2, 3)},
        [("y", F)],
    )
    case(
        "einsum_const_diag",
        [N("Einsum", ["x", "w"], ["y"], equation="ij,jj->ij")],
        {"w": f(3, 3)},
        {"x": f(2, 3)},
        [("y", F)],
    )
    # sampling
    for mode in ("bilinear", "nearest", "bicubic"):
        for pad in ("zeros", "border", "reflection"):
            for al in (0, 1):
                case(
                    f"grid_{mode}_{pad}_{al}",
                    [N("GridSample", ["x", "g"], ["y"], mode=mode, padding_mode=pad, align_corners=al)],
                    {"g": (rng.uniform(-1.4, 1.4, (2, 3, 4, 2))).astype(np.float32)},
                    {"x": f(2, 2, 5, 4)},
                    [("y", F)],
                    opset=16,
                )
    case(
        "affine_secret_theta",
        [N("AffineGrid", ["t", "s"], ["y"], align_corners=1)],
        {"s": np.array([2, 3, 4, 5], np.int64)},
        {"t": f(2, 2, 3)},
        [("y", F)],
        opset=20,
    )
    case(
        "affine_then_sample",
        [N("AffineGrid", ["t", "s"], ["g"]), N("GridSample", ["x", "g"], ["y"])],
        {"t": f(1, 2, 3) * 0.3, "s": np.array([1, 1, 3, 3], np.int64)},
        {"x": f(1, 1, 4, 4)},
        [("y", F)],
        opset=20,
    )
    case(
        "col2im",
        [N("Col2Im", ["x", "i", "b"], ["y"], pads=[1, 0, 1, 1], strides=[1, 2])],
        {"i": np.array([5, 5], np.int64), "b": np.array([2, 3], np.int64)},
        {"x": f(1, 12, 12)},
        [("y", F)],
        opset=18,
    )
    case(
        "centercroppad",
        [N("CenterCropPad", ["x", "s"], ["y"])],
        {"s": np.array([3, 7], np.int64)},
        {"x": f(6, 4)},
        [("y", F)],
        opset=18,
    )
    for mode in ("avg", "max"):
        case(
            f"roialign_{mode}",
            [N("RoiAlign", ["x", "r", "b"], ["y"], mode=mode, output_height=2, output_width=3, sampling_ratio=2)],
            {"r": np.array([[0, 0, 3, 3], [1, 0.5, 4, 2]], np.float32), "b": np.array([0, 1], np.int64)},
            {"x": np.abs(f(2, 1, 5, 5))},
            [("y", F)],
            opset=16,
        )
    case(
        "reverse_seq",
        [N("ReverseSequence", ["x", "l"], ["y"], time_axis=0, batch_axis=1)],
        {"l": np.array([4, 1, 2], np.int64)},
        {"x": f(4, 3, 2)},
        [("y", F)],
    )
    case("det3", [N("Det", ["x"], ["y"])], {}, {"x": f(2, 3, 3)}, [("y", F)])
    case("det4", [N("Det", ["x"], ["y"])], {}, {"x": f(4, 4)}, [("y", F)])
    case("dft17", [N("DFT", ["x"], ["y"], axis=1)], {}, {"x": f(1, 6, 1)}, [("y", F)])
    case(
        "dft20_complex_inv",
        [N("DFT", ["x", "", "a"], ["y"], inverse=1)],
        {"a": np.int64(1)},
        {"x": f(2, 5, 2)},
        [("y", F)],
        opset=20,
    )
    case(
        "dft20_len",
        [N("DFT", ["x", "n", "a"], ["y"], onesided=1)],
        {"n": np.int64(8), "a": np.int64(1)},
        {"x": f(2, 5, 1)},
        [("y", F)],
        opset=20,
    )
    case(
        "stft",
        [N("STFT", ["x", "st", "w"], ["y"])],
        {"st": np.int64(4), "w": np.hanning(8).astype(np.float32)},
        {"x": f(1, 20, 1)},
        [("y", F)],
    )
    case(
        "stft_hann",
        [N("HannWindow", ["n"], ["w"]), N("STFT", ["x", "st", "w"], ["y"])],
        {"st": np.int64(4), "n": np.int64(8)},
        {"x": f(1, 20, 1)},
        [("y", F)],
    )
    for opn, hid, g in (("LSTM", 3, 4), ("GRU", 3, 3), ("RNN", 3, 1)):
        for d, nd in (("forward", 1), ("reverse", 1), ("bidirectional", 2)):
            outs = [("Y", F), ("Yh", F)] + ([("Yc", F)] if opn == "LSTM" else [])
            case(
                f"{opn.lower()}_len_{d}",
                [N(opn, ["x", "W", "R", "Bi", "l"], [o for o, _ in outs], direction=d, hidden_size=hid)],
                {
                    "W": f(nd, g * hid, 4),
                    "R": f(nd, g * hid, hid),
                    "Bi": f(nd, 2 * g * hid),
                    "l": np.array([5, 2], np.int32),
                },
                {"x": f(5, 2, 4)},
                outs,
                opset=14,
            )
    # loops
    body = h.make_graph(
        [N("Add", ["v", "x"], ["v2"]), N("Identity", ["v2"], ["sc"]), N("Identity", ["ci"], ["co"])],
        "b",
        [
            h.make_tensor_value_info("it", I, []),
            h.make_tensor_value_info("ci", B, []),
            h.make_tensor_value_info("v", F, None),
        ],
        [
            h.make_tensor_value_info("co", B, []),
            h.make_tensor_value_info("v2", F, None),
            h.make_tensor_value_info("sc", F, None),
        ],
    )
    case(
        "loop_scan",
        [N("Loop", ["k", "c", "x"], ["y", "s"], body=body)],
        {"k": np.int64(3), "c": np.array(True)},
        {"x": f(2, 3)},
        [("y", F), ("s", F)],
    )
    sb = h.make_graph(
        [N("Add", ["a", "e"], ["a2"]), N("Mul", ["a2", "e"], ["o"])],
        "b",
        [h.make_tensor_value_info("a", F, [2]), h.make_tensor_value_info("e", F, [2])],
        [h.make_tensor_value_info("a2", F, [2]), h.make_tensor_value_info("o", F, [2])],
    )
    case(
        "scan",
        [N("Scan", ["z", "x"], ["y", "s"], body=sb, num_scan_inputs=1)],
        {"z": np.zeros(2, np.float32)},
        {"x": f(4, 2)},
        [("y", F), ("s", F)],
    )
    case(
        "sequence",
        [
            N("SplitToSequence", ["x"], ["q"], axis=0),
            N("SequenceAt", ["q", "i"], ["a"]),
            N("ConcatFromSequence", ["q"], ["b"], axis=1),
            N("MatMul", ["a", "b"], ["y0"]),
            N("Identity", ["y0"], ["y"]),
        ],
        {"i": np.int64(1)},
        {"x": f(3, 1)},
        [("y", F)],
        opset=13,
    )
    fn = h.make_function(
        "loc",
        "Act",
        ["X"],
        ["Y"],
        [N("Constant", [], ["c"], value_float=1.7), N("Mul", ["X", "c"], ["a"]), N("Relu", ["a"], ["Y"])],
        [h.make_opsetid("", 17)],
    )
    node_a = N("LeakyRelu", ["X"], ["Y"])
    at = node_a.attribute.add()
    at.name = "alpha"
    at.ref_attr_name = "slope"
    at.type = onnx.AttributeProto.FLOAT
    fn2 = h.make_function("loc", "Leaky", ["X"], ["Y"], [node_a], [h.make_opsetid("", 17)], ["slope"])
    case(
        "functions_attr",
        [
            h.make_node("Act", ["x"], ["h"], domain="loc"),
            h.make_node("Leaky", ["x"], ["g"], domain="loc", slope=0.3),
            h.make_node("Act", ["g"], ["e"], domain="loc"),
            N("Add", ["h", "e"], ["y"]),
        ],
        {},
        {"x": f(2, 3)},
        [("y", F)],
        functions=[fn, fn2],
    )
    # int8
    w8 = rng.integers(-127, 127, (5, 4)).astype(np.int8)
    u8 = rng.integers(0, 255, (5, 4)).astype(np.uint8)
    case(
        "dq_matmulint",
        [
            N("DynamicQuantizeLinear", ["x"], ["q", "s", "z"]),
            N("MatMulInteger", ["q", "w", "z", "zw"], ["a"]),
            N("Cast", ["a"], ["b"], to=F),
            N("Mul", ["s", "sw"], ["c"]),
            N("Mul", ["b", "c"], ["y"]),
        ],
        {"w": w8, "zw": np.int8(0), "sw": np.float32(0.02)},
        {"x": f(3, 5)},
        [("y", F)],
        tol=0.1,
    )
    case(
        "dq_matmulint_pc",
        [
            N("DynamicQuantizeLinear", ["x"], ["q", "s", "z"]),
            N("MatMulInteger", ["q", "w", "z", "zw"], ["a"]),
            N("Cast", ["a"], ["b"], to=F),
            N("Mul", ["s", "sw"], ["c"]),
            N("Mul", ["b", "c"], ["d"]),
            N("Add", ["d", "bb"], ["y"]),
        ],
        {
            "w": u8,
            "zw": np.array([120, 128, 130, 99], np.uint8),
            "sw": np.array([0.02, 0.01, 0.03, 0.005], np.float32),
            "bb": f(4),
        },
        {"x": f(3, 5)},
        [("y", F)],
        tol=0.1,
    )
    k8 = rng.integers(0, 255, (3, 2, 3, 3)).astype(np.uint8)
    case(
        "dq_convint",
        [
            N("DynamicQuantizeLinear", ["x"], ["q", "s", "z"]),
            N("ConvInteger", ["q", "w", "z", "zw"], ["a"], pads=[1, 1, 1, 1]),
            N("Cast", ["a"], ["b"], to=F),
            N("Mul", ["s", "sw"], ["c"]),
            N("Mul", ["b", "c"], ["y"]),
        ],
        {"w": k8, "zw": np.uint8(128), "sw": np.float32(0.02)},
        {"x": f(1, 2, 5, 5)},
        [("y", F)],
        tol=0.3,
    )
    case(
        "qlinearconv",
        [
            N("QuantizeLinear", ["x", "xs", "xz"], ["q"]),
            N("QLinearConv", ["q", "xs", "xz", "w", "ws", "wz", "ys", "yz", "bi"], ["a"]),
            N("DequantizeLinear", ["a", "ys", "yz"], ["y"]),
        ],
        {
            "xs": np.float32(0.03),
            "xz": np.uint8(128),
            "w": k8,
            "ws": np.array([0.01, 0.02, 0.01], np.float32),
            "wz": np.full(3, 128, np.uint8),
            "ys": np.float32(0.2),
            "yz": np.uint8(120),
            "bi": np.array([100, -200, 300], np.int32),
        },
        {"x": f(1, 2, 5, 5)},
        [("y", F)],
        tol=0.4,
    )
    case(
        "qlinearmatmul",
        [
            N("QuantizeLinear", ["x", "xs", "xz"], ["q"]),
            N("QLinearMatMul", ["q", "xs", "xz", "w", "ws", "wz", "ys", "yz"], ["a"]),
            N("DequantizeLinear", ["a", "ys", "yz"], ["y"]),
        ],
        {
            "xs": np.float32(0.03),
            "xz": np.uint8(128),
            "w": u8,
            "ws": np.float32(0.01),
            "wz": np.uint8(128),
            "ys": np.float32(0.05),
            "yz": np.uint8(120),
        },
        {"x": f(2, 5)},
        [("y", F)],
        tol=0.2,
    )
    case(
        "dq_int_input",
        [N("DequantizeLinear", ["q", "s", "z"], ["a"]), N("MatMul", ["a", "w"], ["y"])],
        {"s": np.float32(0.03), "z": np.uint8(128), "w": f(5, 4)},
        {"q": rng.integers(0, 255, (2, 5)).astype(np.uint8)},
        [("y", F)],
    )
    w = f(5, 4).astype(ml_dtypes.float8_e4m3fn)
    case(
        "float8_weight",
        [N("DequantizeLinear", ["w", "s"], ["b"]), N("MatMul", ["x", "b"], ["y"])],
        {"w": w, "s": np.float32(0.5)},
        {"x": f(2, 5)},
        [("y", F)],
        opset=21,
    )
    # contrib
    case("c_fastgelu_bias", [M("FastGelu", ["x", "b"], ["y"])], {"b": f(4)}, {"x": f(2, 4)}, [("y", F)])
    case("c_biasgelu", [M("BiasGelu", ["x", "b"], ["y"])], {"b": f(4)}, {"x": f(2, 4)}, [("y", F)])
    case("c_quickgelu", [M("QuickGelu", ["x"], ["y"], alpha=1.702)], {}, {"x": f(2, 4)}, [("y", F)])
    case(
        "c_skipln",
        [M("SkipLayerNormalization", ["x", "z", "g", "b", "bb"], ["y", "", "", "s"], epsilon=1e-5)],
        {"g": f(4), "b": f(4), "bb": f(4)},
        {"x": f(1, 3, 4), "z": f(1, 3, 4)},
        [("y", F), ("s", F)],
    )
    case(
        "c_skiprms",
        [M("SkipSimplifiedLayerNormalization", ["x", "z", "g"], ["y"], epsilon=1e-5)],
        {"g": f(4)},
        {"x": f(1, 3, 4), "z": f(1, 3, 4)},
        [("y", F)],
    )
    case(
        "c_fusedmatmul",
        [M("FusedMatMul", ["x", "z"], ["y"], alpha=0.5, transB=1)],
        {},
        {"x": f(2, 3, 4), "z": f(2, 5, 4)},
        [("y", F)],
    )
    case(
        "c_fusedconv",
        [M("FusedConv", ["x", "w", "b"], ["y"], activation="Relu")],
        {"w": f(3, 2, 3, 3), "b": f(3)},
        {"x": f(1, 2, 5, 5)},
        [("y", F)],
    )
    case(
        "c_attention_mask",
        [M("Attention", ["x", "w", "b", "m"], ["y"], num_heads=2)],
        {"w": f(4, 12), "b": f(12), "m": np.array([[1, 1, 0]], np.int32)},
        {"x": f(1, 3, 4)},
        [("y", F)],
    )
    case(
        "c_attention_secret_mask",
        [M("Attention", ["x", "w", "b", "m"], ["y"], num_heads=2)],
        {"w": f(4, 12), "b": f(12)},
        {"x": f(1, 3, 4), "m": np.array([[1, 1, 0]], np.int32)},
        [("y", F)],
    )
    case(
        "c_attention_causal",
        [M("Attention", ["x", "w", "b"], ["y"], num_heads=2, unidirectional=1)],
        {"w": f(4, 12), "b": f(12)},
        {"x": f(1, 3, 4)},
        [("y", F)],
    )
    case(
        "c_mha",
        [M("MultiHeadAttention", ["x", "z", "v", "b"], ["y"], num_heads=2)],
        {"b": f(12)},
        {"x": f(1, 3, 4), "z": f(1, 5, 4), "v": f(1, 5, 4)},
        [("y", F)],
    )
    case(
        "c_embedln",
        [M("EmbedLayerNormalization", ["i", "s", "w", "p", "t", "g", "b"], ["y", "mi"], epsilon=1e-5)],
        {"w": f(7, 4), "p": f(5, 4), "t": f(2, 4), "g": f(4), "b": f(4)},
        {"i": np.array([[1, 6, 3]], np.int32), "s": np.array([[0, 1, 1]], np.int32)},
        [("y", F)],
    )
    kk, nn, bl = 32, 3, 16
    W = rng.integers(0, 16, (nn, kk))
    packed = (W[:, 0::2] | (W[:, 1::2] << 4)).astype(np.uint8).reshape(nn, kk // bl, bl // 2)
    case(
        "c_nbits",
        [M("MatMulNBits", ["x", "w", "s"], ["y"], K=kk, N=nn, bits=4, block_size=bl)],
        {"w": packed, "s": np.abs(f(nn * kk // bl)) * 0.1},
        {"x": f(2, kk)},
        [("y", F)],
    )
    case(
        "shrink_hard",
        [N("Shrink", ["x"], ["y"], lambd=1.5)],
        {},
        {"x": np.arange(-2, 2.1, 0.25).astype(np.float32)},
        [("y", F)],
    )
    case(
        "shrink_soft",
        [N("Shrink", ["x"], ["y"], lambd=1.5, bias=1.5)],
        {},
        {"x": np.arange(-2, 2.1, 0.3).astype(np.float32)},
        [("y", F)],
    )
    # groups as one channel each, whose variance is truncated twice
    case(
        "group_norm_reshaped",
        [
            N("Reshape", ["x", "s"], ["a"]),
            N("InstanceNormalization", ["a", "g", "b"], ["i"]),
            N("Shape", ["x"], ["sh"]),
            N("Reshape", ["i", "sh"], ["y"]),
        ],
        {"s": np.array([0, 2, -1], np.int64), "g": np.ones(2, np.float32), "b": np.zeros(2, np.float32)},
        {"x": f(1, 4, 6, 6)},
        [("y", F)],
    )
    # losses with secret classes
    case(
        "nll_secret",
        [N("NegativeLogLikelihoodLoss", ["x", "t"], ["y"], reduction="sum")],
        {},
        {"x": f(3, 4), "t": np.array([0, 2, 3], np.int64)},
        [("y", F)],
        opset=13,
    )
    case(
        "sce_weights",
        [N("SoftmaxCrossEntropyLoss", ["x", "t", "w"], ["y", "l"])],
        {"w": np.abs(f(4)), "t": np.array([[0, 2], [1, 1], [3, 0]], np.int64)},
        {"x": f(3, 4, 2)},
        [("y", F), ("l", F)],
        opset=13,
    )
    x, places = f(3, 5), [N("TopK", ["x", "two"], ["v", "i"], axis=-1)]
    two, zeros = np.array([2], np.int64), np.zeros((3, 5), np.float32)
    into = {"two": two, "data": zeros, "u": f(3, 2), "other": f(3, 5)}
    scatter = lambda data, update, result, **attributes: N(  # noqa: E731
        "ScatterElements", [data, "i", update], [result], axis=1, **attributes
    )
    nodes = [scatter("data", "v", "y"), scatter("other", "u", "z"), scatter("x", "v", "s", reduction="add")]
    case("scatter_at_largest", places + nodes, into, {"x": x}, [(name, F) for name in "yzs"], opset=18)
    # Both updates are at one place: the last one counts.
    nodes = [N("ArgMax", ["x"], ["a"], axis=0), N("Concat", ["a", "a"], ["i"], axis=0)]
    nodes += [N("ScatterElements", ["other", "i", "u"], ["y"], axis=0)]
    case("scatter_twice", nodes, {"other": f(3, 5), "u": f(2, 5)}, {"x": x}, [("y", F)], opset=18)
    # Of the data, what is the least float is at places of updates alone.
    least = np.where([[1, 1, 1, 0], [1, 1, 1, 0]], np.finfo(np.float32).min, 0).astype(np.float32)
    nodes = [N("ScatterElements", ["least", "i", "x"], ["y"], axis=1, reduction="max")]
    case(
        "scatter_least",
        nodes,
        {"least": least, "i": np.array([[0, 1, 1, 2], [2, 0, 1, 0]])},
        {"x": f(2, 4)},
        [("y", F)],
        18,
    )
    # By opset 9, runtimes count from the corners.
    scales = {"s": np.array([1, 1, 2, 1.5], np.float32)}
    case(
        "upsample_corners",
        [N("Upsample", ["x", "s"], ["y"], mode="linear")],
        scales,
        {"x": f(1, 2, 4, 4)},
        [("y", F)],
        9,
    )


def learned():
    """Estimators of scikit-learn."""
    np.random.seed(0)
    X, y = load_iris(return_X_y=True)
    Xb, yb = X[:100], y[:100]
    Xd, yd = load_diabetes(return_X_y=True)
    Xd = StandardScaler().fit_transform(Xd)
    yd = yd / 50
    names = np.array(["setosa", "versicolor", "virginica"])[y]
    fit("linreg", LinearRegression(), Xd, yd)
    fit("ridge", Ridge(), Xd, yd)
    fit("lasso", Lasso(0.1), Xd, yd)
    cls("logreg", LogisticRegression(max_iter=500))
    cls("logreg_bin", LogisticRegression(), Xb, yb)
    fit("logreg_zipmap", LogisticRegression(max_iter=500), X, y)
    fit("logreg_text", LogisticRegression(max_iter=500), X, names, options=None)
    cls("logreg_lbl", LogisticRegression(max_iter=500), X, y * 3 + 5)
    cls("sgd", SGDClassifier(loss="log_loss", random_state=0), StandardScaler().fit_transform(X))
    for n, s in (
        ("std", StandardScaler()),
        ("minmax", MinMaxScaler()),
        ("maxabs", MaxAbsScaler()),
        ("robust", RobustScaler()),
        ("norm1", Normalizer("l1")),
        ("norm2", Normalizer("l2")),
        ("normmax", Normalizer("max")),
        ("poly", PolynomialFeatures(2)),
        ("poly3", PolynomialFeatures(3, interaction_only=True)),
        ("pca", PCA(2)),
        ("binarizer", Binarizer(threshold=3.0)),
        ("imputer", SimpleImputer()),
        ("kbins", KBinsDiscretizer(3, encode="ordinal", strategy="uniform")),
        ("svd", TruncatedSVD(2)),
    ):
        fit("t_" + n, s, X)
    fit(
        "pipe_scaler_pca_lr",
        make_pipeline(SimpleImputer(), StandardScaler(), PCA(2), LogisticRegression()),
        X,
        y,
        options=None,
    )
    cls("tree", DecisionTreeClassifier(max_depth=3))
    cls("tree_bin", DecisionTreeClassifier(max_depth=3), Xb[:, :2], yb)
    fit("treereg", DecisionTreeRegressor(max_depth=4), Xd, yd)
    cls("forest", RandomForestClassifier(5, max_depth=3, random_state=0))
    cls("forest_bin", RandomForestClassifier(5, max_depth=3, random_state=0), Xb[:, :2], yb)
    fit("forestreg", RandomForestRegressor(4, max_depth=3, random_state=0), Xd, yd)
    cls("extra", ExtraTreesClassifier(5, max_depth=3, random_state=0))
    cls("gb", GradientBoostingClassifier(n_estimators=4, max_depth=2))
    cls("gb_bin", GradientBoostingClassifier(n_estimators=4, max_depth=2), Xb[:, :2], yb)
    fit("gbreg", GradientBoostingRegressor(n_estimators=5, max_depth=2), Xd, yd)
    cls("adaboost", AdaBoostClassifier(n_estimators=3, random_state=0))
    fit("adareg", AdaBoostRegressor(n_estimators=3, random_state=0), Xd, yd)
    cls("bagging", BaggingClassifier(n_estimators=3, random_state=0))
    for k in ("linear", "poly", "rbf", "sigmoid"):
        cls("svc_" + k, SVC(kernel=k))
        cls("svc_bin_" + k, SVC(kernel=k), StandardScaler().fit_transform(Xb[:, :2]), yb)
        fit("svr_" + k, SVR(kernel=k), Xd[:80], yd[:80])
    cls("svc_prob_bin", SVC(probability=True, random_state=0), Xb[:, :2], yb)
    fit("linsvr", LinearSVR(), Xd, yd)
    fit("oneclass", OneClassSVM(gamma=0.1), X, tol=0.05)
    cls("nusvc", NuSVC())
    cls("gnb", GaussianNB())
    cls("mnb", MultinomialNB())
    cls("bnb", BernoulliNB(binarize=2.0))
    cls("cnb", ComplementNB())
    cls("lda", LinearDiscriminantAnalysis())
    cls("qda", QuadraticDiscriminantAnalysis())
    cls("knn", KNeighborsClassifier(3), X[::5], y[::5])
    fit("knnreg", KNeighborsRegressor(3), Xd[::10], yd[::10])
    cls("mlp", MLPClassifier((6,), max_iter=300, random_state=0))
    cls("mlp_bin", MLPClassifier((6,), max_iter=300, random_state=0), Xb, yb)
    fit("mlpreg", MLPRegressor(hidden_layer_sizes=(6,), activation="tanh", max_iter=300, random_state=0), Xd, yd)
    cls("mlp_logistic", MLPClassifier((6,), activation="logistic", max_iter=300, random_state=0))
    fit("kmeans", KMeans(3, n_init=2, random_state=0), X)
    fit("nystroem_gpr", BayesianRidge(), Xd, yd)
    # e^-score is far outside every range.
    cls("sgd_far", SGDClassifier(loss="log_loss", random_state=0), 20 * StandardScaler().fit_transform(Xb), yb)
    # Their converters declare shapes that their outputs do not have.
    fit("ovo", OneVsOneClassifier(LogisticRegression()), X, y)
    fit("pls", PLSRegression(2), Xd, yd)
    fit("forest_two", RandomForestRegressor(3, max_depth=3, random_state=0), Xd, np.stack([yd, -yd], 1))
    fit("gpr", GaussianProcessRegressor(RBF(2.0), alpha=0.1, optimizer=None), Xd[:30], yd[:30])


def private_parameters():
    """Operands that are parameters in most networks, as private inputs or made of them."""
    one = [("y", F)]
    power = [N("Pow", ["x", "e"], ["y"])]
    base, exponent = rng.uniform(0.05, 8, (3, 4)), rng.uniform(-2.5, 2.5, (3, 4))
    inputs = {"x": base.astype(np.float32), "e": exponent.astype(np.float32)}
    case("pow_secret", power, {}, inputs, one, tol=4e-3)
    case("pow_secret_row", power, {}, {"x": inputs["x"], "e": inputs["e"][0]}, one, tol=4e-3)
    zeros = {"x": np.array([0, 0, 0, 0, 1, 1], np.float32), "e": np.array([0.5, 0.1, 2, 0, 0, -3], np.float32)}
    case("pow_of_zero", power, {}, zeros, one)
    whole = {"x": np.array([-2, -1.5, -3, 2, 0, -0.5], np.float32), "e": np.array([3, 2, 1, -2, 4, -3], np.int64)}
    case("pow_whole", power, {}, whole, one, tol=1e-2)
    many = {"e": np.linspace(0.2, 2.4, 12).astype(np.float32).reshape(3, 4)}
    case("pow_many_exponents", power, many, {"x": inputs["x"]}, one, tol=4e-3)
    case("pow_public_base", power, {"x": inputs["x"]}, {"e": inputs["e"]}, one, tol=4e-3)

    # Weights that are made of an input, as those that another network gives.
    def recurrent(name, operator, gates, weights, constants, **attributes):
        inits = {"w": f(1, gates * 3, 2), "r": 0.5 * f(1, gates * 3, 3), "b": f(1, gates * 6), **constants}
        made = [N("Mul", [weight, "s"], ["made_" + weight]) for weight in weights]
        names = ["made_" + name if name in weights else name for name in ("w", "r", "b")]
        if "p" in weights:
            names += ["", "", "", "made_p"]
        nodes = [*made, N(operator, ["x", *names], ["", "y"], hidden_size=3, **attributes)]
        case(name, nodes, inits, {"x": f(4, 2, 2), "s": np.array([0.8], np.float32)}, one)

    recurrent("lstm_made_weights", "LSTM", 4, "wrbp", {"p": f(1, 9)})
    recurrent("lstm_made_recurrence", "LSTM", 4, "r", {})
    recurrent("gru_made_weights", "GRU", 3, "wrb", {}, linear_before_reset=1)
    recurrent("gru_made_bias", "GRU", 3, "b", {}, linear_before_reset=1)
    recurrent("gru_made_recurrence", "GRU", 3, "r", {})
    recurrent("rnn_made_weights", "RNN", 1, "wr", {})
    images = {"x": f(1, 2, 5, 4), "g": rng.uniform(-1.4, 1.4, (1, 3, 4, 2)).astype(np.float32)}
    for mode in ("bilinear", "nearest"):
        for pad in ("zeros", "border", "reflection"):
            for al in (0, 1):
                how = {"mode": mode, "padding_mode": pad, "align_corners": al}
                node = N("GridSample", ["x", "g"], ["y"], **how)
                case(f"private_grid_{mode}_{pad}_{al}", [node], {}, images, one, opset=16)
    volume = {"x": f(1, 2, 3, 2, 4), "g": rng.uniform(-1.2, 1.2, (1, 2, 2, 2, 3)).astype(np.float32)}
    case("private_grid_volume", [N("GridSample", ["x", "g"], ["y"])], {}, volume, one, opset=20)
    transformer = [
        N("GlobalAveragePool", ["x"], ["p"]),
        N("Flatten", ["p"], ["m"]),
        N("Gemm", ["m", "w", "b"], ["t"]),
        N("Reshape", ["t", "k"], ["theta"]),
        N("AffineGrid", ["theta", "s"], ["g"]),
        N("GridSample", ["x", "g"], ["y"]),
    ]
    weights = {"w": 0.2 * f(2, 6), "b": np.array([1, 0, 0.1, 0, 1, -0.2], np.float32)}
    sizes = {"k": np.array([1, 2, 3], np.int64), "s": np.array([1, 2, 6, 5], np.int64)}
    case("spatial_transformer", transformer, {**weights, **sizes}, {"x": f(1, 2, 6, 5)}, one, opset=20)

    # Of onnxruntime's optimiser and quantiser.
    for name in "AB":
        turned = M("FusedMatMul", ["a", "b"], ["y"], alpha=0.5, transB=int(name == "B"), **{f"transBatch{name}": 1})
        b = (2, 3, 4, 5) if name == "B" else (3, 4, 5, 2)
        a = (3, 4, 6, 5) if name == "B" else (2, 3, 4, 5)
        case(f"c_fusedmatmul_batch_{name}", [turned], {}, {"a": f(*a), "b": f(*b)}, one)
    for columns in (1, 12):
        quantised = {
            "w": rng.integers(0, 256, (1, 2, 12)).astype(np.uint8),
            "r": rng.integers(0, 256, (1, 3, 12)).astype(np.uint8),
            "b": 0.2 * f(1, 24),
        }
        scales = {"ws": np.full((1, columns), 0.006, np.float32), "rs": np.full((1, columns), 0.005, np.float32)}
        zeros = {"wz": np.full((1, columns), 128, np.uint8), "rz": np.full((1, columns), 120, np.uint8)}
        scales = {key: scale if columns > 1 else scale[0] for key, scale in scales.items()}
        zeros = {key: zero if columns > 1 else zero[0] for key, zero in zeros.items()}
        names = ["x", "w", "r", "b", "", "", "", "", "ws", "wz", "rs", "rz"]
        node = M("DynamicQuantizeLSTM", names, ["", "y"], hidden_size=3)
        inits = {**quantised, **scales, **zeros}
        case(f"c_quantised_lstm_{columns}", [node], inits, {"x": f(4, 2, 2)}, one, tol=0.02)

    # Operators on integers, between a quantisation and its inverse.
    def on_integers(name, node, inits, x):
        scales = {"xs": np.float32(0.03), "xz": np.uint8(128), "ys": np.float32(0.05), "yz": np.uint8(110)}
        scales.update(inits)
        ends = [N("QuantizeLinear", ["x", "xs", "xz"], ["q"]), node, N("DequantizeLinear", ["a", "ys", "yz"], ["y"])]
        case(name, ends, scales, {"x": x}, one, tol=0.12)

    of_x, of_y = ["q", "xs", "xz"], ["ys", "yz"]
    factor = {
        "w": rng.integers(60, 200, (4, 5)).astype(np.uint8),
        "ws": np.array([0.01, 0.02, 0.01, 0.015], np.float32),
        "wz": np.full(4, 128, np.uint8),
        "c": np.array([100, -200, 300, 50], np.int32),
    }
    gemm = M("QGemm", [*of_x, "w", "ws", "wz", "c", *of_y], ["a"], transB=1, alpha=0.5)
    on_integers("c_qgemm", gemm, factor, f(3, 5))
    pool = M("QLinearAveragePool", [*of_x, *of_y], ["a"], kernel_shape=[2, 2], strides=[1, 1])
    on_integers("c_qlinear_average_pool", pool, {}, f(1, 2, 4, 4))
    unit = {"ys": np.float32(1 / 256), "yz": np.uint8(0)}
    on_integers("c_qlinear_softmax", M("QLinearSoftmax", [*of_x, *of_y], ["a"], axis=-1, opset=13), unit, f(2, 6))
    other = {"s2": np.float32(0.01), "z2": np.uint8(100), "k": rng.integers(0, 256, (2, 3)).astype(np.uint8)}
    joined = M("QLinearConcat", [*of_y, *of_x, "k", "s2", "z2"], ["a"], axis=1)
    on_integers("c_qlinear_concat", joined, other, f(2, 4))
    constants = M("QLinearConcat", [*of_y, "k", "s2", "z2", "k", "s2", "z2"], ["kk"], axis=1)
    ends = [constants, N("DequantizeLinear", ["kk", *of_y], ["real"]), N("Add", ["x", "real"], ["y"])]
    inits = {**other, "ys": np.float32(0.05), "yz": np.uint8(110)}
    case("c_qlinear_concat_of_constants", ends, inits, {"x": f(2, 6)}, one)

    # A product of 16 fractional bits would be too coarse for what makes it larger.
    fine = {"w": (rng.integers(-3, 4, (6, 8)) / 1024).astype(np.float32), "e": np.float32(1e-8), "two": np.float32(2)}
    x = {"x": (rng.integers(-256, 257, (4, 6)) / 256).astype(np.float32)}
    written = [
        N("MatMul", ["x", "w"], ["h"]),
        N("ReduceMean", ["h"], ["mean"], axes=[-1]),
        N("Sub", ["h", "mean"], ["d"]),
        N("Pow", ["d", "two"], ["s"]),
        N("ReduceMean", ["s"], ["v"], axes=[-1]),
        N("Add", ["v", "e"], ["ve"]),
        N("Sqrt", ["ve"], ["root"]),
        N("Div", ["d", "root"], ["y"]),
    ]
    case("norm_written_out", written, fine, x, one, opset=13)
    by_root = [node for node in written if node.output[0] not in ("mean", "d")]
    for node in by_root:
        node.input[:] = ["h" if name == "d" else name for name in node.input]
    case("root_mean_square_written_out", by_root, fine, x, one, opset=13)

    # No rows, as of nodes that no edge leads to.
    rows = [N("Gather", ["x", "none"], ["g"]), N("Gemm", ["g", "w"], ["z"]), N("MatMul", ["x", "w"], ["m"])]
    rows += [N("MatMul", ["g", "w"], ["zz"]), N("Concat", ["z", "m", "zz"], ["y"], axis=0)]
    case("products_of_no_rows", rows, {"none": np.zeros(0, np.int64), "w": f(3, 2)}, {"x": f(2, 3)}, one)

    # A chain of comparisons with the members of a set: its nodes have one child.
    tree = {
        "nodes_treeids": [0] * 7,
        "nodes_nodeids": list(range(7)),
        "nodes_featureids": [0, 0, 0, 1, 0, 0, 0],
        "nodes_modes": ["BRANCH_EQ"] * 3 + ["BRANCH_LEQ"] + ["LEAF"] * 3,
        "nodes_values": [1.0, 3.0, 4.0, 0.5, 0.0, 0.0, 0.0],
        "nodes_truenodeids": [3, 3, 6, 4, 0, 0, 0],
        "nodes_falsenodeids": [1, 2, 6, 5, 0, 0, 0],
        "target_treeids": [0] * 3,
        "target_nodeids": [4, 5, 6],
        "target_ids": [0] * 3,
        "target_weights": [1.5, -2.0, 0.25],
    }
    node = h.make_node("TreeEnsembleRegressor", ["x"], ["y"], domain=ML, n_targets=1, **tree)
    members = {"x": np.array([[1, 0], [3, 1], [4, 0], [2, 0], [3, 0.5]], np.float32)}
    case("tree_of_shared_children", [node], {}, members, one)

    # Two bodies that have one name for different values.
    def body(nodes, inits):
        values = [h.make_tensor_value_info(name, kind, []) for name, kind in (("i", I), ("go", B))]
        value = h.make_tensor_value_info("a", F, [2])
        results = [h.make_tensor_value_info("on", B, []), h.make_tensor_value_info("r", F, [2])]
        inits = [nh.from_array(array, key) for key, array in inits.items()]
        return h.make_graph([N("Identity", ["go"], ["on"]), *nodes], "body", [*values, value], results, inits)

    first = body([N("Mul", ["a", "a"], ["c"]), N("Add", ["c", "a"], ["r"])], {})
    second = body([N("Add", ["a", "c"], ["r"])], {"c": np.array([10, 20], np.float32)})
    loops = [N("Loop", ["n", "", "x"], ["p"], body=first), N("Loop", ["n", "", "p"], ["y"], body=second)]
    case("bodies_of_one_name", loops, {"n": np.int64(1)}, {"x": f(2)}, one)

    # Masks that are subtracted.
    mask = np.array([[0, 0, 1, 0, 1]], np.float32)
    for size in (1e4, 1e30):
        lowered = [N("Mul", ["m", "c"], ["far"]), N("Sub", ["x", "far"], ["z"]), N("Softmax", ["z"], ["y"])]
        inputs = {"x": f(3, 5), "m": mask}
        case(f"mask_subtracted_{size:.0e}", lowered, {"c": np.float32(size)}, inputs, one)
        public = {"far": (size * mask).astype(np.float32)}
        case(f"mask_subtracted_public_{size:.0e}", lowered[1:], public, {"x": inputs["x"]}, one)


def private_places():
    """GatherND at places that depend on the input."""
    one = [("y", T.FLOAT)]
    to_int = N("Cast", ["i"], ["k"], to=I)
    i = np.array([[[0, 1], [2, 0], [-1, -4]], [[1, 3], [0, -1], [2, 2]]], np.float32)
    nodes = [to_int, N("GatherND", ["x", "k"], ["y"])]
    case("gather_nd_private", nodes, {}, {"x": f(3, 4, 2), "i": i}, one)
    case("gather_nd_private_of_constants", nodes, {"x": f(3, 4)}, {"i": i}, one)
    batch = [to_int, N("GatherND", ["x", "k"], ["y"], batch_dims=1)]
    case("gather_nd_private_batch", batch, {}, {"x": f(2, 4, 3), "i": i[:, :, 1:] % 4}, one)
    tokens = {"ids": np.array([[4], [0], [-2]], np.int64)}
    case("gather_nd_tokens", [N("GatherND", ["x", "ids"], ["y"])], {"x": f(5, 3)}, tokens, one)
    nearest = [N("TopK", ["d", "two"], ["v", "n"], axis=1), N("Unsqueeze", ["n", "last"], ["m"])]
    nearest += [N("Concat", ["rows", "m"], ["k"], axis=2), N("GatherND", ["x", "k"], ["y"])]
    rows = np.repeat(np.arange(2)[:, None, None], 2, 1)
    inits = {"two": np.array([2]), "last": np.array([2]), "rows": rows}
    case("gather_nd_of_nearest", nearest, inits, {"d": f(2, 5), "x": f(2, 5, 3)}, one)


def pack(path, cases):
    """Writes cases."""
    blob, entries = container.Blob(), []
    for name, model, inputs, outputs, tolerance in cases:
        operators = sorted({node.op_type for node in model.graph.node})
        # Labels that are text have no numbers.
        numbers = [np.zeros(y.shape) if y.dtype.kind in "USO" else y for y in outputs]
        kinds = ["text" if y.dtype.kind in "USO" else "made" for y in outputs]
        entries.append(
            {
                "name": name,
                "kind": "made",
                "operators": operators,
                "model": blob.model(model.SerializeToString(deterministic=True)),
                "inputs": [blob.tensor(key, np.asarray(value)) for key, value in inputs.items()],
                "outputs": [
                    {**blob.tensor(info.name, np.asarray(y, np.float32)), "text": kind == "text"}
                    for info, y, kind in zip(model.graph.output, numbers, kinds)
                ],
                "tolerance": tolerance or 2e-3,
            }
        )
    print(container.write(path, {"cases": entries, "left_out": []}, blob), len(entries), "cases")


def reported(folder):
    """The cases of a folder of networks that people reported."""
    for path in sorted(folder.iterdir()):
        if not (path / "case.json").exists():
            continue
        about = json.loads((path / "case.json").read_text())
        inputs = {name: np.load(path / file) for name, file in about["inputs"].items()}
        outputs = [np.load(path / f"expected_{i}.npy") for i in range(len(about["outputs"]))]
        yield path.name, onnx.load(path / "model.onnx"), inputs, outputs, about.get("tol")


def main():
    """Makes the files."""
    warnings.simplefilter("ignore")
    operators()
    learned()
    trees()
    private_parameters()
    quantised.make(case, whole)
    private_places()
    pack(HERE / "made.zip", CASES)
    for folder in sys.argv[1:]:
        pack(HERE / "reported.zip", reported(pathlib.Path(folder)))


if __name__ == "__main__":
    main()
