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
 GatherND Hardmax Shrink Sin Cos Tan Asin Acos Atan Sinh Cosh Asinh Acosh Atanh GridSample AffineGrid RoiAlign Col2Im
 DFT STFT Det ReverseSequence Scatter ScatterElements ScatterND NegativeLogLikelihoodLoss SoftmaxCrossEntropyLoss
 OneHot HannWindow HammingWindow BlackmanWindow
 MelWeightMatrix LinearAttention CausalConvWithState CumProd Compress TensorScatter DeformConv"""

# Around shapes and other public values: folded before anything runs. Where and Less occur in expanded functions with a
# private operand too.
INTEGER = """Size ConstantOfShape Range Cast CastLike Equal Greater GreaterOrEqual Less LessOrEqual And Or Not Xor Where
    Mod Floor Ceil Round Sign ReduceProd NonZero CumSum EyeLike DequantizeLinear QuantizeLinear"""

# Unrolled and followed during the import.
CONTROL = """If Loop Scan ConcatFromSequence SequenceAt SequenceConstruct SequenceEmpty SequenceErase SequenceInsert
    SplitToSequence"""
QUANTISED = """ConvInteger MatMulInteger QLinearConv QLinearMatMul DynamicQuantizeLinear"""
BITS = """BitwiseAnd BitwiseOr BitwiseXor"""
LEARNED = " ".join(
    f"ai.onnx.ml.{name}" for name in ["ArrayFeatureExtractor", "Binarizer", "LabelEncoder", "TreeEnsemble"]
)
PREVIEW = "ai.onnx.preview.FlexAttention"

ALL = [LINEAR, SHAPE, POOLING, ACTIVATION, RECURRENT, COMPOSED, INTEGER, CONTROL, QUANTISED, BITS, LEARNED, PREVIEW]
COVERED = frozenset(" ".join(ALL).split())

RANDOM = frozenset("Bernoulli RandomNormal RandomNormalLike RandomUniform RandomUniformLike Multinomial".split())
POOLS = frozenset("AveragePool LpPool MaxPool".split())
# Float operands that stand for an attribute: sizes, limits, exponents, masks. They are public in a private run, so they
# become initialisers. By operator, the positions of its inputs.
PUBLIC = {
    "Attention": {3},
    "Clip": {1, 2},
    "GridSample": {1},
    "MelWeightMatrix": {3, 4},
    "OneHot": {1, 2},
    "RoiAlign": {1},
    "STFT": {2},
    "DequantizeLinear": {1, 2},
    "QLinearConv": {1, 4, 6},
    "QLinearMatMul": {1, 4, 6},
    "Dropout": {1, 2},
    "Pad": {1, 2},
    "Pow": {1},
    "QuantizeLinear": {1, 2},
    "Range": {0, 1, 2},
    "Resize": {1, 2, 3},
    "RotaryEmbedding": {1, 2},
    "Upsample": {1},
    "Where": {0},
}
# Float operands that are parameters in a network. A case that has some is run twice: with these as private inputs, and
# with these as weights (initialisers).
WEIGHTS = {
    "Add": {1},
    "BatchNormalization": {1, 2, 3, 4},
    "CausalConvWithState": {1, 2},
    "Conv": {1, 2},
    "ConvTranspose": {1, 2},
    "DeformConv": {1, 3},
    "Div": {1},
    "Einsum": {1},
    "GRU": {1, 2, 3},
    "Gemm": {1, 2},
    "GroupNormalization": {1, 2},
    "InstanceNormalization": {1, 2},
    "LSTM": {1, 2, 3, 7},
    "LayerNormalization": {1, 2},
    "MatMul": {1},
    "Max": {1},
    "Min": {1},
    "Mul": {1},
    "PRelu": {1},
    "RMSNormalization": {1},
    "RNN": {1, 2, 3},
    "Sub": {1},
}

# What has no private version, or none that is precise enough: reason, and patterns of names. The tests check that the
# import or the plan refuses these, except where values inside leave the range of a plan.
REFUSED = {
    "a scale that depends on the private input, as an output": ["test_dynamicquantizelinear*"],
    "the places of the largest elements are secret": ["test_maxpool_with_argmax_2d_precomputed_*"],
    "Scan of opset 8": ["test_scan_sum"],
    "integers of 16 bits as an output, which may be beyond the range": ["test_quantizelinear_blocked_symmetric"],
}

# The values of the package are.
COARSE = {"computed in bfloat16": ["test_attention_*_bf16*", "test_celu_bfloat16*"]}

# Types that NumPy has not by itself. Floats of 4 and 8 bits are read, but nothing is rounded to them.
SMALL_FLOATS = frozenset("float4_e2m1fn float8_e4m3fn float8_e4m3fnuz float8_e5m2 float8_e5m2fnuz".split())
FEW_BITS = SMALL_FLOATS | frozenset("bfloat16 int2 int4 uint2 uint4".split())


def matching(name, table):
    """The first reason one of whose patterns fits a name."""
    return next((why for why, names in table.items() if any(fnmatch(name, pattern) for pattern in names)), None)


def operands(model, table):
    """The names of the model's inputs that stand at one of the table's positions of a node."""
    return {
        name
        for node in model.graph.node
        for position, name in enumerate(node.input)
        if position in table.get(node.op_type, ())
    }
