"""Types of ops: what TensorFlow's graph optimizer makes of them."""

# How the types of ops begin that draw random numbers.
DRAWING = ("Random", "Truncated", "ParameterizedTruncated", "Multinomial")
IDENTITIES = ("Identity", "IdentityN")
# Readers that are gone where the shape is known.
OF_SHAPE = ("Shape", "ShapeN", "Rank", "Size", "ZerosLike", "OnesLike")
# What zeros and ones are made by: to add or multiply them is to pass on.
LIKE = ("Fill", "ZerosLike", "OnesLike")
CALLS = ("PartitionedCall", "StatefulPartitionedCall")

# Loops and branches.
BRANCHES = {
    "While",
    "StatelessWhile",
    "If",
    "StatelessIf",
    "Case",
    "StatelessCase",
}
# Ops in no pattern of any pass: backward kernels (but for ReluGrad ahead of that of a
# batch normalization, on GPUs), losses of logits, random numbers, lookups, lists,
# loops and branches (which stay calls until all passes have run).
_ALONE = {
    *BRANCHES,
    "Einsum",
    "Softmax",
    "LogSoftmax",
    "SoftmaxCrossEntropyWithLogits",
    "SparseSoftmaxCrossEntropyWithLogits",
    "Gather",
    "GatherV2",
    "GatherNd",
    "TopKV2",
}
_ALONE_STARTS = ("StatelessRandom", "TensorList", "Scatter", "TensorScatter")
_ALONE_PARTS = ("Backprop", "Segment")
_ALONE_ENDS = ("Grad", "GradV2", "GradV3")

CONTRACTIONS = {
    "MatMul",
    "Conv2D",
    "Conv3D",
    "DepthwiseConv2dNative",
    "BatchMatMul",
    "BatchMatMulV2",
    "BatchMatMulV3",
}
BATCH_NORMS = ("FusedBatchNorm", "FusedBatchNormV2", "FusedBatchNormV3")
MOVES = ("Reshape", "Squeeze", "ExpandDims", "Transpose")
# What is taken into a contraction that reads it: transposition, padding, factors.
INTO_CONTRACTIONS = {
    *MOVES,
    *CALLS,
    "ConjugateTranspose",
    "Conj",
    "Pad",
    "PadV2",
    "Cast",
    "Mul",
    "Div",
    "RealDiv",
    "Dequantize",
}
# What a biased contraction is merged with by itself; more only with what else reads it.
AFTER_BIAS = {
    *MOVES,
    *CALLS,
    "Relu",
    "Relu6",
    "Elu",
    "LeakyRelu",
    "Tanh",
    "Sigmoid",
    "Add",
    "AddV2",
    "AddN",
    "Mul",
    "Cast",
}


def is_alone(op):
    """Whether an op is in no pattern of any pass."""
    kind = op.type
    return (
        kind in _ALONE
        or kind.endswith(_ALONE_ENDS)
        or kind.startswith(_ALONE_STARTS)
        or any(part in kind for part in _ALONE_PARTS)
        or (kind in CALLS and _is_compiled(op))
    )


def _is_compiled(op):
    """Whether XLA compiles what is called: it is not put in place of the call."""
    return "_XlaMustCompile" in op.node_def.attr and op.get_attr("_XlaMustCompile")
