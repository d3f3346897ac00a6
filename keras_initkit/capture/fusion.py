"""Reading a tensor without changing how the step computes it.

TensorFlow's graph optimizer fuses and reorders ops whose results nothing else reads: a
contraction, its bias and a Tanh, Sigmoid or Elu become one kernel, and so do a Sigmoid
and its product with its input (swish); sums of sums and products of products are
regrouped. What comes out rounds differently. A tap is one more reader and would undo
that, so a tensor inside such a group is computed once more for the tap, in a function
that the optimizer does not look into. Elementwise work is cheap; a contraction is
repeated only ahead of the three activations.

Found by comparing weights bit by bit on CPU with TensorFlow 2.21. Fusions with Relu and
other activations round the same either way.
"""

import collections

import tensorflow as tf

_IDENTITIES = ("Identity", "IdentityN")
_BIASES = ("BiasAdd", "Add", "AddV2")
_CONTRACTIONS = ("MatMul", "Conv2D")
_FUSED_ACTIVATIONS = ("Tanh", "Sigmoid", "Elu")
_ARITHMETIC = ("Add", "AddV2", "AddN", "Sub", "Mul", "Div", "RealDiv", "Neg")
# Arithmetic further back than this is left as it is.
_MOST_OPS = 24


def readable(tensors):
    """Returns tensors of the same values that may be read freely.

    Call it when the graph is complete: who else reads a tensor decides.
    """
    if tf.executing_eagerly():
        return list(tensors)
    passed: dict = {}
    return [_readable(tensor, passed) for tensor in tensors]


def _readable(tensor, passed):
    origin = _origin(tensor)
    readers = set(_readers(origin, passed))
    if _follows_contraction(origin) and readers & set(_FUSED_ACTIVATIONS):
        return _again(origin, [origin.op.inputs[0].op, origin.op])
    if origin.op.type in _ARITHMETIC and readers & set(_ARITHMETIC):
        return _again(origin, _arithmetic_behind(origin.op))
    return tensor


def _origin(tensor):
    """Follows identities (those of our own taps, too) back to where values are made."""
    while tensor.op.type in _IDENTITIES:
        tensor = tensor.op.inputs[tensor.value_index]
    return tensor


def _readers(tensor, passed):
    """Yields the types of the ops that read a tensor, identities passed over.

    `passed` keeps what identities pass on, by their names and those of their inputs: an
    optimizer may put all gradients into one, and to look through it for each would take
    time that grows with their number squared.
    """
    for reader in tensor.consumers():
        if reader.type in _IDENTITIES:
            if reader.name not in passed:
                passed[reader.name] = collections.defaultdict(list)
                for given, output in zip(reader.inputs, reader.outputs, strict=True):
                    passed[reader.name][given.name].append(output)
            for output in passed[reader.name][tensor.name]:
                yield from _readers(output, passed)
        else:
            yield reader.type


def _follows_contraction(tensor):
    op = tensor.op
    return op.type in _BIASES and op.inputs[0].op.type in _CONTRACTIONS


def _arithmetic_behind(op):
    """Lists the arithmetic that leads to an op, inputs before what reads them."""
    found: list = []

    def visit(op, reader=None):
        if op in found or len(found) >= _MOST_OPS:
            return
        if op.type not in _ARITHMETIC and not _is_gate_of_swish(op, reader):
            return
        for tensor in op.inputs:
            visit(_origin(tensor).op, op)
        found.append(op)

    visit(op)
    return found


def _is_gate_of_swish(op, reader):
    """Whether an op is the sigmoid of `x * sigmoid(x)`, one kernel with its product."""
    if op.type != "Sigmoid" or reader is None or reader.type != "Mul":
        return False
    factors = {_origin(tensor).name for tensor in reader.inputs}
    inner = _origin(op.inputs[0])
    return any(t.name in factors for t in (inner, *map(_origin, inner.op.inputs)))


def _again(tensor, ops):
    """Computes a tensor once more by copies of ops, out of the optimizer's sight."""
    made = {output.name for op in ops for output in op.outputs}
    inputs = {_origin(t).name: _origin(t) for op in ops for t in op.inputs}
    leaves = {name: leaf for name, leaf in inputs.items() if name not in made}

    def compute(*values):
        known = dict(zip(leaves, values, strict=True))
        for op in ops:
            copy = tf.compat.v1.get_default_graph().create_op(
                op.type,
                [known[_origin(t).name] for t in op.inputs],
                [output.dtype for output in op.outputs],
                attrs={k: v for k, v in op.node_def.attr.items() if k[0] != "_"},
            )
            for old, new in zip(op.outputs, copy.outputs, strict=True):
                known[old.name] = new
        return known[tensor.name]

    function = tf.function(
        compute, autograph=False, experimental_attributes={"_noinline": True}
    )
    return function(*leaves.values())
