"""Which operators the set covers, and which operands of a conformance case are public."""

from fnmatch import fnmatchcase as fnmatch

# The operators that the import promises.
LINEAR = """Conv ConvTranspose Gemm MatMul BatchNormalization Add Sub Mul Div Neg Sum Mean ReduceSum ReduceMean"""
SHAPE = """Reshape Flatten Transpose Concat Split Slice Gather Squeeze Unsqueeze Expand Tile Pad DepthToSpace
    SpaceToDepth Identity Dropout Constant Shape"""
POOLING = """MaxPool AveragePool GlobalAveragePool GlobalMaxPool ReduceMax ReduceMin Resize Upsample"""
ACTIVATION = """Relu LeakyRelu PRelu Clip HardSigmoid HardSwish Abs Max Min Sigmoid Tanh Swish Softplus Elu Selu Celu
    Gelu Erf Exp Log Sqrt Reciprocal Pow Softmax LogSoftmax LayerNormalization InstanceNormalization
    GroupNormalization ArgMax TopK"""
RECURRENT = """LSTM GRU RNN Attention RMSNormalization RotaryEmbedding"""

# Sums, products and the functions above under other names: they need no protocol of their own.
COMPOSED = """ReduceL1 ReduceL2 ReduceSumSquare ReduceLogSum ReduceLogSumExp LpNormalization LpPool LRN
    MeanVarianceNormalization Mish Softsign Einsum Trilu ArgMin ThresholdedRelu SwiGLU CenterCropPad GatherElements
    GatherND"""

# Around shapes and other public values: folded before anything runs. Where and Less occur in expanded functions with a
# private operand too.
INTEGER = """Size ConstantOfShape Range Cast CastLike Equal Greater GreaterOrEqual Less LessOrEqual And Or Not Xor Where
    Mod Floor Ceil Round Sign ReduceProd NonZero CumSum EyeLike DequantizeLinear QuantizeLinear"""

COVERED = frozenset(" ".join([LINEAR, SHAPE, POOLING, ACTIVATION, RECURRENT, COMPOSED, INTEGER]).split())

CONTROL_FLOW = frozenset("If Loop Scan SequenceMap".split())
RANDOM = frozenset("Bernoulli RandomNormal RandomNormalLike RandomUniform RandomUniformLike Multinomial".split())
POOLS = frozenset("AveragePool LpPool MaxPool".split())
# Their result may be an index: revealed only as an output.
INDEX = frozenset("ArgMax ArgMin TopK".split())

# Float operands that stand for an attribute: sizes, limits, exponents. They are public in a private run, so they become
# initialisers. By operator, the positions of its inputs.
PUBLIC = {
    "Clip": {1, 2}, "DequantizeLinear": {1, 2}, "Dropout": {1, 2}, "Pad": {1, 2}, "Pow": {1}, "QuantizeLinear": {1, 2},
    "Range": {0, 1, 2}, "Resize": {1, 2, 3}, "RotaryEmbedding": {1, 2}, "Upsample": {1}, "Where": {0},
}
# Float operands that are parameters in a network. A case that has some is run twice: with these as private inputs, and
# with these as weights (initialisers).
WEIGHTS = {
    "Add": {1}, "BatchNormalization": {1, 2, 3, 4}, "Conv": {1, 2}, "ConvTranspose": {1, 2}, "Div": {1}, "Einsum": {1},
    "GRU": {1, 2, 3}, "Gemm": {1, 2}, "GroupNormalization": {1, 2}, "InstanceNormalization": {1, 2},
    "LSTM": {1, 2, 3, 7}, "LayerNormalization": {1, 2}, "MatMul": {1}, "Max": {1}, "Min": {1}, "Mul": {1}, "PRelu": {1},
    "RMSNormalization": {1}, "RNN": {1, 2, 3}, "Sub": {1},
}

# What has no private version, or none that is precise enough: reason, and patterns of names. The tests check that the
# import or the plan refuses these, except where values inside leave the range of a plan.
REFUSED = {}
BEYOND = {
    "exp of 20 and more inside": [
        "test_reduce_log_sum_exp_*_example_expanded",
    ],
}


def refusal(name):
    """Why a case is refused, if it is."""
    return next((why for why, names in REFUSED.items() if any(fnmatch(name, pattern) for pattern in names)), None)


def beyond(name):
    """Which values inside a case are too large, if any are."""
    return next((why for why, names in BEYOND.items() if any(fnmatch(name, pattern) for pattern in names)), None)


def operands(model, table):
    """The names of the model's inputs that stand at one of the table's positions of a node."""
    return {
        name
        for node in model.graph.node
        for position, name in enumerate(node.input)
        if position in table.get(node.op_type, ())
    }
