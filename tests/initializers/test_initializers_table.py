"""Every initializer of the catalogue on every weight of every kind of layer.

Each either keeps what it promises there, through `for_layer` and through
`reinitialize`, or is refused with the reason. What it promises is checked on the
matrices of the weight, which are written down here by hand for each kind.
`pytest -s` prints the table.
"""

import collections
import dataclasses
import math
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
from keras import ops

import keras_initkit as kik
from keras_initkit import initializers as I

# One worker holds the table that is printed last.
pytestmark = pytest.mark.xdist_group("table")
k = keras.layers
ATTENTION = ("query", "key", "value", "output")


def numpy(tensor):
    return np.asarray(ops.convert_to_numpy(tensor), np.float64)


# What each kind stores: from the weight to its matrices `(taps, in, out)`.


def plain(w):
    return [w.reshape(-1, *w.shape[-2:])]


def beside(count):
    return lambda w: np.split(plain(w)[0], count, axis=-1)


def channels(w):
    return [plain(w)[0][:, n : n + 1] for n in range(w.shape[-2])]


def turned(w):
    return plain(np.swapaxes(w, -1, -2))


def heads_out(w):
    return [w.reshape(1, w.shape[0], -1)]


def heads_in(w):
    return [w.reshape(1, -1, w.shape[-1])]


def leading(w):
    return [matrix[None] for matrix in w]


def vector(w):
    return []


@dataclasses.dataclass(frozen=True)
class Kind:
    """A weight of a layer, in a model.

    Attributes:
        make: Makes the layer.
        inputs: Shape of an example.
        weight: Name of the weight.
        matrices: From its values to its matrices `(taps, in, out)`.
        fans: `(fan_in, fan_out)`, `None` for a vector.
        layer: From the layer to the one that is named to `for_layer`.
        taps: Kernel size of a convolution.
        gates: Gates of a recurrent layer.
        tags: What else counts: `"recurrent"`, `"table"`, `"turns"` (taps of a strided
            transposed convolution), `"bias"`, an attention's part, `"whole"` where all
            heads have keys of their own.
    """

    make: Callable[..., Any]
    inputs: tuple[int | None, ...]
    weight: str
    matrices: Callable[[np.ndarray], list]
    fans: tuple[float, float] | None
    layer: Callable[[Any], Any] = lambda layer: layer
    taps: tuple[int, ...] = ()
    gates: int = 1
    tags: tuple[str, ...] = ()


def image(rank):
    return (*[5] * rank, 16)


def of(name, *args, **arguments):
    """Returns a maker of layers; it takes another class to make, too."""
    return lambda cls=None: (cls or getattr(k, name))(*args, **arguments)


def around(name, inner, **arguments):
    def make(cls=None):
        own = type(inner()) if cls is None else _subclass(type(inner()))
        with keras.saving.custom_object_scope({own.__name__: own}):
            return getattr(k, name)(inner(own), **arguments)

    return make


def attends(name, *args):
    def make(cls=None):
        layer = (cls or getattr(k, name))(*args)
        layer.build((None, 3, 64), (None, 3, 64))
        return layer

    return make


def part(name):
    return lambda layer: getattr(layer, f"_{name}_dense")


def kinds():
    """Returns `{name: Kind}`."""
    found = {
        "Dense kernel": Kind(of("Dense", 48), (32,), "kernel", plain, (32, 48)),
        "Dense bias": Kind(
            of("Dense", 48), (32,), "bias", vector, None, tags=("bias",)
        ),
        "TimeDistributed Dense kernel": Kind(
            around("TimeDistributed", of("Dense", 48)),
            (3, 32),
            "kernel",
            plain,
            (32, 48),
        ),
    }
    for rank in (1, 2, 3):
        taps = (3,) * rank
        volume = 3**rank
        for stride in (1, 2):
            strided = {} if stride == 1 else {"strides": stride}
            name = f"Conv{rank}DTranspose" + (f" strides={stride}" if strided else "")
            found[f"{name} kernel"] = Kind(
                of(f"Conv{rank}DTranspose", 24, 3, **strided),
                image(rank),
                "kernel",
                turned,
                (volume * 16 / stride**rank, volume * 24),
                taps=taps,
                tags=("turns",) if strided else (),
            )
        found[f"Conv{rank}D kernel"] = Kind(
            of(f"Conv{rank}D", 24, 3),
            image(rank),
            "kernel",
            plain,
            (volume * 16, volume * 24),
            taps=taps,
        )
        found[f"Conv{rank}D groups=4 kernel"] = Kind(
            of(f"Conv{rank}D", 32, 3, groups=4),
            image(rank),
            "kernel",
            beside(4),
            (volume * 4, volume * 8),
            taps=taps,
        )
    for rank in (1, 2):
        volume, taps = 3**rank, (3,) * rank
        for mult in (1, 2):
            found[f"DepthwiseConv{rank}D multiplier={mult} kernel"] = Kind(
                of(f"DepthwiseConv{rank}D", 3, depth_multiplier=mult),
                image(rank),
                "kernel",
                channels,
                (volume, volume * mult),
                taps=taps,
            )
        separable = of(f"SeparableConv{rank}D", 24, 3)
        found[f"SeparableConv{rank}D depthwise"] = Kind(
            separable,
            image(rank),
            "depthwise_kernel",
            channels,
            (volume, volume),
            taps=taps,
        )
        found[f"SeparableConv{rank}D pointwise"] = Kind(
            separable,
            image(rank),
            "pointwise_kernel",
            plain,
            (16, 24),
            taps=(1,) * rank,
        )
    found["Conv1D of one channel kernel"] = Kind(
        of("Conv1D", 64, 8), (9, 1), "kernel", plain, (8, 512), taps=(8,)
    )
    found["SpectralNormalization Conv2D kernel"] = Kind(
        around("SpectralNormalization", of("Conv2D", 24, 3)),
        image(2),
        "kernel",
        plain,
        (144, 216),
        layer=lambda layer: layer.layer,
        taps=(3, 3),
    )
    found["EinsumDense matrix kernel"] = Kind(
        of("EinsumDense", "ab,bc->ac", 48), (32,), "kernel", plain, (32, 48)
    )
    found["EinsumDense turned kernel"] = Kind(
        of("EinsumDense", "ab,cb->ac", 48), (32,), "kernel", turned, (32, 48)
    )
    found["EinsumDense batch axis kernel"] = Kind(
        of("EinsumDense", "abc,bcd->abd", (5, 24)),
        (5, 16),
        "kernel",
        leading,
        (16, 24),
    )
    grouped = {"key": (64, 16), "value": (64, 16)}
    attentions = {"MultiHeadAttention": (8, 8), "GroupQueryAttention": (8, 8, 2)}
    for name, size in attentions.items():
        for one in ATTENTION:
            fans = (64, 64) if len(size) == 2 else grouped.get(one, (64, 64))
            found[f"{name} {one}"] = Kind(
                attends(name, *size),
                (3, 64),
                "kernel",
                heads_in if one == "output" else heads_out,
                fans,
                layer=part(one),
                tags=(one, "whole") if len(size) == 2 else (one,),
            )
    for name, gates in (("SimpleRNN", 1), ("GRU", 3), ("LSTM", 4)):
        layer = of(name, 24)
        for weight, inputs in (("kernel", 32), ("recurrent_kernel", 24)):
            found[f"{name} {weight}"] = Kind(
                layer,
                (3, 32),
                weight,
                plain if gates == 1 else beside(gates),
                (inputs, 24),
                gates=gates,
                tags=("recurrent",) if "rec" in weight else (),
            )
    for name, gates, arguments in (
        ("SimpleRNN", 1, {}),
        ("GRU", 3, {"reset_after": True}),
        ("GRU", 3, {"reset_after": False}),
        ("LSTM", 4, {"unit_forget_bias": True}),
        ("LSTM", 4, {"unit_forget_bias": False}),
    ):
        told = "".join(f" {key}={value}" for key, value in arguments.items())
        found[f"{name}{told} bias"] = Kind(
            of(name, 24, **arguments),
            (3, 32),
            "bias",
            vector,
            None,
            gates=gates,
            tags=("bias",),
        )
    found["ConvLSTM2D kernel"] = Kind(
        of("ConvLSTM2D", 24, 3),
        (3, 5, 5, 16),
        "kernel",
        beside(4),
        (144, 216),
        taps=(3, 3),
        gates=4,
    )
    found["Bidirectional LSTM recurrent_kernel"] = Kind(
        around("Bidirectional", of("LSTM", 24)),
        (3, 32),
        "recurrent_kernel",
        beside(4),
        (24, 24),
        layer=lambda layer: layer.forward_layer,
        gates=4,
        tags=("recurrent",),
    )
    found["RNN of GRUCell kernel"] = Kind(
        lambda cls=None: k.RNN((_subclass(k.GRUCell) if cls else k.GRUCell)(24)),
        (3, 32),
        "kernel",
        beside(3),
        (32, 24),
        gates=3,
    )
    found["Embedding embeddings"] = Kind(
        of("Embedding", 60, 32), (3,), "embeddings", vector, (1, 32), tags=("table",)
    )
    if hasattr(k, "ReversibleEmbedding"):
        for tied, fans in ((True, (32, 60)), (False, (1, 32))):
            found[f"ReversibleEmbedding tied={tied} embeddings"] = Kind(
                of("ReversibleEmbedding", 60, 32, tie_weights=tied),
                (3,),
                "embeddings",
                vector,
                fans,
                tags=("table",),
            )
        found["ReversibleEmbedding tied=False reverse_embeddings"] = Kind(
            of("ReversibleEmbedding", 60, 32, tie_weights=False),
            (3,),
            "reverse_embeddings",
            plain,
            (32, 60),
        )
    return found


KINDS = kinds()


def _subclass(cls):
    return type(f"Own{cls.__name__}", (cls,), {})


def model_of(kind):
    """Returns a built model around the layer, and the layer to name."""
    layer = kind.make()
    dtype = "int32" if "table" in kind.tags else None
    inputs = keras.Input(kind.inputs, dtype=dtype)
    attends = isinstance(layer, (k.MultiHeadAttention, k.GroupQueryAttention))
    outputs = layer(inputs, inputs) if attends else layer(inputs)
    return keras.Model(inputs, outputs), kind.layer(layer)


def variable_of(kind, named):
    holder = getattr(named, "layer", named)
    holder = getattr(holder, "cell", holder)
    return next(v for v in holder.variables if v.name == kind.weight)


# What each initializer promises of a weight.

# Of a std estimated from n values, times √n: relative standard errors.
UNIFORM, NORMAL, TRUNCATED = 0.45, 0.71, 0.58


def near(value, expected, relative, message=""):
    """Whether a value is within five standard errors of what is expected."""
    assert abs(value - expected) <= 5 * relative * abs(expected), (
        f"{message} {value} for {expected} ± {relative:.2g} of it"
    )


def centre_of(kind):
    return (
        int(np.ravel_multi_index([(n - 1) // 2 for n in kind.taps], kind.taps))
        if (kind.taps)
        else 0
    )


def constant(value):
    return lambda kind, w: np.testing.assert_array_equal(w, value)


def with_std(std, spread=0.71):
    def check(kind, w):
        near(w.std(), std, spread / math.sqrt(w.size), "std")

    return check


def with_variance(scale, mode, spread):
    """Variance `scale / fan`, in the fans of the table; `spread` of the std."""

    def check(kind, w):
        fan_in, fan_out = kind.fans
        fan = {"in": fan_in, "avg": (fan_in + fan_out) / 2}[mode]
        near(w.var(), scale / fan, 2 * spread / math.sqrt(w.size), "variance")

    return check


def only_centre(kind, matrix):
    """Returns the centre tap of a matrix, and asserts that the others are zero."""
    rest = np.delete(matrix, centre_of(kind), axis=0)
    assert not rest.any()
    return matrix[centre_of(kind)]


def semi_orthogonal(matrix, gain=1.0):
    values = np.linalg.svd(matrix, compute_uv=False)
    np.testing.assert_allclose(values, gain, rtol=1e-4)


def orthogonal(kind, w):
    for matrix in kind.matrices(w):
        semi_orthogonal(only_centre(kind, matrix))


def convolution_orthogonal(kind, w):
    """Unitary at every frequency, that is an isometry for circular padding."""
    for matrix in kind.matrices(w):
        taps = np.indices(kind.taps).reshape(len(kind.taps), -1).T
        frequency = np.arange(1, 1 + len(kind.taps))
        there = np.tensordot(np.exp(-1j * taps @ frequency), matrix, axes=1)
        semi_orthogonal(there)


def identity(kind, w):
    for matrix in kind.matrices(w):
        tap = only_centre(kind, matrix)
        np.testing.assert_array_equal(tap, np.eye(*tap.shape))


def hadamard(kind, w):
    for matrix in kind.matrices(w):
        tap = only_centre(kind, matrix)
        inputs, outputs = tap.shape
        if outputs <= inputs:
            np.testing.assert_array_equal(tap, np.eye(*tap.shape))
            continue
        power = (outputs - 1).bit_length()
        np.testing.assert_allclose(np.abs(tap), 2 ** (-(power - 1) / 2), rtol=1e-6)


def sparse(kind, w):
    for matrix in kind.matrices(w):
        flat = matrix.reshape(-1, matrix.shape[-1])
        expected = min(15, len(flat))
        np.testing.assert_array_equal(np.count_nonzero(flat, axis=0), expected)
    present = w[w != 0]
    near(present.std(), 1.0, 0.71 / math.sqrt(present.size), "std")


def sparse_rows(kind, w):
    for matrix in kind.matrices(w):
        zeros = np.count_nonzero(matrix[0] == 0, axis=1)
        np.testing.assert_array_equal(zeros, math.ceil(0.1 * matrix.shape[-1]))
    present = w[w != 0]
    near(present.std(), 0.01, NORMAL / math.sqrt(present.size), "std")


def bias_of_fan_in(kind, w):
    near(w.var(), 1 / 32 / 3, 2 * UNIFORM / math.sqrt(w.size), "variance")
    assert np.abs(w).max() <= 1 / math.sqrt(32)


def zero_sum(kind, w):
    count = 0
    for matrix in kind.matrices(w):
        flat = matrix.reshape(-1, matrix.shape[-1])
        np.testing.assert_allclose(flat.sum(axis=0), 0, atol=1e-5)
        count = len(flat)
    fan_in, fan_out = kind.fans
    expected = 2 / (fan_in + fan_out) * (1 - 1 / count)
    near(w.var(), expected, 2 * 0.58 / math.sqrt(w.size), "variance")


def icnr(kind, w):
    copies = 2 ** len(kind.taps)
    parts = np.split(w, copies, axis=-1)
    for one in parts:
        np.testing.assert_array_equal(one, parts[0])
    near(w.var(), 2 / kind.fans[0], 2 * 0.58 / math.sqrt(parts[0].size), "variance")


def mimetic(kind, w):
    """Columns of `U √S`: orthogonal, of squares that are the singular values."""
    (matrix,) = kind.matrices(w)[0]
    if "output" in kind.tags:
        matrix = matrix.T
    one_target = {"value", "output"} & set(kind.tags)
    for head in np.split(matrix, 1 if one_target else w.shape[1], axis=1):
        gram = head.T @ head
        np.testing.assert_allclose(gram, np.diag(np.diag(gram)), atol=1e-5)
        assert np.all(np.diff(np.diag(gram)) <= 1e-6)


def gates_of(kind, w):
    return np.split(w if w.ndim == 1 else w[0], kind.gates)


def chrono(kind, w):
    gates = gates_of(kind, w)
    keep = gates[1] if kind.gates == 4 else gates[0]
    assert np.all((keep >= 0) & (keep <= math.log(99)))
    assert keep.std() > 0
    if kind.gates == 4:
        np.testing.assert_array_equal(gates[0], -keep)
    assert not np.any(gates[2:])
    assert w.ndim == 1 or not np.any(w[1:])


def unit_forget(kind, w):
    expected = np.zeros(kind.gates)
    expected[1 if kind.gates == 4 else 0] = 1
    for gate, value in zip(gates_of(kind, w), expected, strict=True):
        np.testing.assert_array_equal(gate, value)


def readout(kind, w):
    fan_in = kind.fans[0]
    near(w.var(), 64 / fan_in**2, 2 * 0.58 / math.sqrt(w.size), "variance")


def fourier_basis(kind, w):
    np.testing.assert_array_equal(w, numpy(keras.initializers.STFT()(w.shape)))


PROMISES = {
    "zeros": constant(0),
    "zero": constant(0),
    "ones": constant(1),
    "constant": constant(0),
    "random_normal": with_std(0.05, NORMAL),
    "random_uniform": with_std(0.05 / math.sqrt(3), UNIFORM),
    "truncated_normal": with_std(0.05 * 0.87963, TRUNCATED),
    "random": with_std(1 / math.sqrt(3), UNIFORM),
    "identity": identity,
    "variance_scaling": with_variance(1, "in", TRUNCATED),
    "glorot_normal": with_variance(1, "avg", TRUNCATED),
    "glorot_uniform": with_variance(1, "avg", UNIFORM),
    "xavier": with_variance(1, "avg", UNIFORM),
    "he_normal": with_variance(2, "in", TRUNCATED),
    "he": with_variance(2, "in", TRUNCATED),
    "he_uniform": with_variance(2, "in", UNIFORM),
    "lecun_normal": with_variance(1, "in", TRUNCATED),
    "lecun_uniform": with_variance(1, "in", UNIFORM),
    "fan_in_uniform": with_variance(1 / 3, "in", UNIFORM),
    "slide_xavier": with_variance(1 / 3, "in", UNIFORM),
    "slide_he": with_variance(2 / 3, "in", UNIFORM),
    "activation_scaling": with_variance(2, "in", TRUNCATED),
    "kaiming_normal": with_variance(2, "in", NORMAL),
    "kaiming_uniform": with_variance(2, "in", UNIFORM),
    "xavier_normal": with_variance(1, "avg", NORMAL),
    "xavier_uniform": with_variance(1, "avg", UNIFORM),
    "axis_variance_scaling": with_variance(1, "in", TRUNCATED),
    "trunc_normal": with_std(0.87963, TRUNCATED),
    "sparse": sparse_rows,
    "fan_in_uniform_bias": bias_of_fan_in,
    "orthogonal": orthogonal,
    "blockwise": orthogonal,
    "delta_orthogonal": orthogonal,
    "gate_orthogonal": orthogonal,
    "convolution_orthogonal": convolution_orthogonal,
    "dirac": identity,
    "recurrent_identity": identity,
    "zero_hadamard": hadamard,
    "sparse_normal": sparse,
    "icnr": icnr,
    "siren": with_variance(2 / 900, "in", UNIFORM),
    "mimetic_attention": mimetic,
    "chrono_bias": chrono,
    "unit_forget_bias": unit_forget,
    "prior_bias": constant(np.float32(math.log(0.01 / 0.99))),
    "depth_scaled": with_variance(2, "in", TRUNCATED),
    "fan_corrected": with_variance(2, "in", TRUNCATED),
    "mup_readout": readout,
    "zero_sum": zero_sum,
    "stft": fourier_basis,
}
# By definition: all of it, or the outputs that have no input of their own.
KILLS_ALL = ("zeros", "zero", "constant", "stft")
KILLS_THE_REST = ("identity", "dirac")


def check_alive(name, kind, w):
    """Asserts that no unit is dead which the definition does not kill."""
    if name in KILLS_ALL:
        return
    for matrix in kind.matrices(w):
        alive = matrix.any(axis=(0, 1))
        if name in KILLS_THE_REST:
            alive = alive[: matrix.shape[1]]
        assert alive.all(), f"{np.count_nonzero(~alive)} of {alive.size} units dead"


# Where an initializer has a meaning; everywhere else it is refused.
def is_meant(name, kind):
    entry = next(e for e in I.catalog() if e.name == name)
    kernel = bool(kind.matrices is not vector)
    conv = bool(kind.taps)
    if name == "stft":
        return kind.fans == (8, 512)
    if entry.family in ("constant", "random") and name != "identity":
        return True
    if name in ("zero", "random"):
        return True
    if name in ("chrono_bias", "unit_forget_bias"):
        return "bias" in kind.tags and kind.gates > 1
    if name == "fan_in_uniform_bias":
        return "bias" in kind.tags and kind.inputs == (32,)
    if name == "axis_variance_scaling":
        return kind.matrices is plain
    if name == "sparse":
        return kernel and not conv
    if name == "prior_bias":
        return "bias" in kind.tags and kind.gates == 1
    if PROMISES[name].__qualname__.startswith("with_variance") and name != "siren":
        return kind.fans is not None
    if name == "recurrent_identity":
        return "recurrent" in kind.tags
    if name == "gate_orthogonal":
        return kernel and (kind.gates > 1 or "recurrent" in kind.tags)
    if name == "identity":
        return kernel and not conv
    if name == "mimetic_attention":
        return "whole" in kind.tags
    if name == "icnr":
        return conv and kind.matrices is plain
    if name == "convolution_orthogonal":
        return conv
    if name == "delta_orthogonal":
        return conv and "turns" not in kind.tags
    return kernel and "turns" not in kind.tags


NAMES = [entry.name for entry in I.catalog()]
_CELLS: dict[str, dict[str, str]] = collections.defaultdict(dict)


def made(name, kind, seed=7):
    """Returns a seeded initializer by its name; of attention, the part."""
    one = I.seeded(name, seed, "table")
    if name == "mimetic_attention":
        one.part = next((tag for tag in kind.tags if tag in ATTENTION), "query")
    return one


def through_layer(name, kind, named, variable):
    """Returns values drawn through `for_layer`, `None` where it refuses."""
    try:
        initializer = I.for_layer(named, made(name, kind), kind.weight)
        return numpy(initializer(tuple(variable.shape)))
    except ValueError:
        return None


def through_model(name, kind, model, named, variable):
    """Returns values drawn through `reinitialize`, `None` where it refuses."""
    before = numpy(variable)
    try:
        kik.reinitialize(model, {named: {kind.weight: name}}, seed=1)
    except ValueError:
        with pytest.raises(ValueError, match=r"^`plan_or_initializer` must f"):
            kik.reinitialize(model, {named: {kind.weight: name}}, seed=1)
        np.testing.assert_array_equal(numpy(variable), before)
        return None
    return numpy(variable)


@pytest.mark.parametrize("where", KINDS)
def test_right_or_refused(where):
    kind = KINDS[where]
    model, named = model_of(kind)
    variable = variable_of(kind, named)
    wrong = []
    for name in NAMES:
        ways = {
            "for_layer": through_layer(name, kind, named, variable),
            "reinitialize": through_model(name, kind, model, named, variable),
        }
        if name == "mimetic_attention" and where.startswith("GroupQuery"):
            # A projection alone does not tell whose it is.
            assert ways.pop("for_layer") is not None
        for way, values in ways.items():
            if (values is not None) != is_meant(name, kind):
                wrong.append(f"{name}: {'' if is_meant(name, kind) else 'not '}refused")
            if values is None:
                continue
            try:
                PROMISES[name](kind, values)
                check_alive(name, kind, values)
            except AssertionError as error:
                wrong.append(f"{name} through {way}: {error}")
        refused = any(values is None for values in ways.values())
        _CELLS[name][where] = "refused" if refused else "right"
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("where", KINDS)
def test_subclass_and_fitted_initializer_are_alike(where):
    """What derives from a layer is treated as it is; what is fitted fits."""
    kind = KINDS[where]
    base = kind.make()
    own = kind.make(_subclass(type(base)))
    for name in NAMES:
        made_for = []
        for layer in (base, own):
            try:
                one = I.for_layer(kind.layer(layer), made(name, kind), kind.weight)
            except ValueError:
                made_for.append(None)
                continue
            again = I.for_layer(kind.layer(layer), one, kind.weight)
            made_for += [(type(one), one.get_config())]
            assert made_for[-1] == (type(again), again.get_config()), name
        assert made_for[0] == made_for[1], name


def test_table():
    """Prints it; every initializer has a weight that it is for."""
    cells = {name: _CELLS[name] for name in NAMES}
    if any(len(row) < len(KINDS) for row in cells.values()):
        pytest.skip("the table is printed where all of it was checked")
    width = max(map(len, NAMES))
    for where in KINDS:
        right = [name for name in cells if cells[name].get(where) == "right"]
        print(f"\n{where}\n  right: {', '.join(right)}")
        refused = [name for name in cells if cells[name].get(where) == "refused"]
        print(f"  refused: {', '.join(refused)}")
    print()
    for name, row in cells.items():
        count = collections.Counter(row.values())
        print(f"{name:{width}}  right {count['right']:3}  refused {count['refused']:3}")
    assert set(PROMISES) == set(NAMES)
    assert all("right" in row.values() for row in cells.values())
