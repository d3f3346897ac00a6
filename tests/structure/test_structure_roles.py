"""Which weight is what: the table for Keras's layers, the trace for all others."""

import inspect
import pathlib
import re

import keras
import numpy as np
import pytest

import keras_initkit as kik
from keras_initkit import schema
from keras_initkit.structure import roles, uses
from keras_initkit.structure.forward_graph import learn_roles
from keras_initkit.structure.owners import find_owners

k = keras.layers

# Every class of `keras.layers` that holds weights, built on inputs of these shapes.
LAYERS = {
    "Dense": (lambda: k.Dense(3), (4,)),
    # Since Keras 3.16.
    **(
        {"TernaryDense": (lambda: k.TernaryDense(3), (4,))}
        if hasattr(k, "TernaryDense")
        else {}
    ),
    "EinsumDense": (lambda: k.EinsumDense("ab,bc->ac", 3, bias_axes="c"), (4,)),
    "Conv1D": (lambda: k.Conv1D(3, 2), (6, 4)),
    "Conv2D": (lambda: k.Conv2D(4, 2, groups=2), (6, 6, 4)),
    "Conv3D": (lambda: k.Conv3D(3, 2), (4, 4, 4, 2)),
    "Conv1DTranspose": (lambda: k.Conv1DTranspose(3, 2), (6, 4)),
    "Conv2DTranspose": (lambda: k.Conv2DTranspose(3, 2), (6, 6, 4)),
    "Conv3DTranspose": (lambda: k.Conv3DTranspose(3, 2), (4, 4, 4, 2)),
    "DepthwiseConv1D": (lambda: k.DepthwiseConv1D(2), (6, 4)),
    "DepthwiseConv2D": (lambda: k.DepthwiseConv2D(2), (6, 6, 4)),
    "SeparableConv1D": (lambda: k.SeparableConv1D(3, 2), (6, 4)),
    "SeparableConv2D": (lambda: k.SeparableConv2D(3, 2), (6, 6, 4)),
    "Embedding": (lambda: k.Embedding(7, 3), ()),
    "SimpleRNN": (lambda: k.SimpleRNN(3), (5, 4)),
    "GRU": (lambda: k.GRU(3), (5, 4)),
    "LSTM": (lambda: k.LSTM(3), (5, 4)),
    "RNN": (lambda: k.RNN(k.LSTMCell(3)), (5, 4)),
    "StackedRNNCells": (lambda: k.RNN([k.GRUCell(3), k.LSTMCell(2)]), (5, 4)),
    "ConvLSTM1D": (lambda: k.ConvLSTM1D(3, 2), (5, 6, 2)),
    "ConvLSTM2D": (lambda: k.ConvLSTM2D(3, 2), (5, 6, 6, 2)),
    "ConvLSTM3D": (lambda: k.ConvLSTM3D(3, 2), (3, 4, 4, 4, 2)),
    "Bidirectional": (lambda: k.Bidirectional(k.GRU(3)), (5, 4)),
    "TimeDistributed": (lambda: k.TimeDistributed(k.Dense(3)), (5, 4)),
    "SpectralNormalization": (lambda: k.SpectralNormalization(k.Dense(3)), (4,)),
    "BatchNormalization": (lambda: k.BatchNormalization(), (4,)),
    "LayerNormalization": (lambda: k.LayerNormalization(), (4,)),
    "GroupNormalization": (lambda: k.GroupNormalization(2), (4,)),
    "RMSNormalization": (lambda: k.RMSNormalization(), (4,)),
    "Normalization": (lambda: k.Normalization(), (4,)),
    "PReLU": (lambda: k.PReLU(), (4,)),
    "MultiHeadAttention": (lambda: SelfAttention(k.MultiHeadAttention(2, 3)), (5, 4)),
    "GroupQueryAttention": (
        lambda: SelfAttention(k.GroupQueryAttention(4, 4, 2)),
        (5, 4),
    ),
    "Attention": (
        lambda: SelfAttention(k.Attention(use_scale=True, score_mode="concat")),
        (5, 4),
    ),
    "AdditiveAttention": (lambda: SelfAttention(k.AdditiveAttention()), (5, 4)),
    "STFTSpectrogram": (
        lambda: k.STFTSpectrogram(frame_length=8, frame_step=4, fft_length=8),
        (64, 1),
    ),
}
if hasattr(k, "ReversibleEmbedding"):
    LAYERS["ReversibleEmbedding"] = (
        lambda: k.ReversibleEmbedding(7, 3, tie_weights=False),
        (),
    )

CELL = {"kernel": "kernel", "recurrent_kernel": "recurrent_kernel", "bias": "offset"}
PLAIN = {"kernel": "kernel", "bias": "offset"}
SEPARABLE = {
    "depthwise_kernel": "kernel",
    "pointwise_kernel": "kernel",
    "bias": "offset",
}
AFFINE = {"gamma": "scale", "beta": "offset"}
# By the class of the layer that holds them.
ROLES = {
    **dict.fromkeys(
        ("Dense", "TernaryDense", "EinsumDense", "Conv1D", "Conv2D", "Conv3D"), PLAIN
    ),
    **dict.fromkeys(("Conv1DTranspose", "Conv2DTranspose", "Conv3DTranspose"), PLAIN),
    **dict.fromkeys(("DepthwiseConv1D", "DepthwiseConv2D"), PLAIN),
    **dict.fromkeys(("SeparableConv1D", "SeparableConv2D"), SEPARABLE),
    **dict.fromkeys(("SimpleRNNCell", "GRUCell", "LSTMCell", "ConvLSTMCell"), CELL),
    "Embedding": {"embeddings": "table"},
    "ReversibleEmbedding": {"embeddings": "table", "reverse_embeddings": "kernel"},
    "BatchNormalization": {
        **AFFINE,
        "moving_mean": "offset",
        "moving_variance": "scale",
    },
    "LayerNormalization": AFFINE,
    "GroupNormalization": AFFINE,
    "RMSNormalization": {"scale": "scale"},
    "Normalization": {"mean": "offset", "variance": "scale", "count": "other"},
    "PReLU": {"alpha": "scale"},
    "SpectralNormalization": {"vector_u": "other"},
    "Attention": {"scale": "scale", "concat_score_weight": "scale"},
    "AdditiveAttention": {"scale": "scale"},
    "STFTSpectrogram": {"real_kernel": "other", "imag_kernel": "other"},
}


class SelfAttention(k.Layer):
    """Attention of a sequence to itself, for layers that want two inputs or more."""

    def __init__(self, attention):
        super().__init__()
        self.attention = attention
        self.several = isinstance(attention, k.Attention)

    def build(self, shape):
        if self.several:
            self.attention.build([shape, shape])
        else:
            self.attention.build(shape, shape)

    def call(self, x):
        return self.attention([x, x]) if self.several else self.attention(x, x)


def model_of(name):
    make, shape = LAYERS[name]
    table = "Embedding" in name
    inputs = k.Input(shape, dtype="int32" if table else "float32")
    outputs = make()(inputs)
    return keras.Model(inputs, k.Dense(2, name="head")(k.Flatten()(outputs)))


def parts_of(model):
    return [layer for layer in model._flatten_layers() if roles.weights_of(layer)]


@pytest.mark.parametrize("name", LAYERS)
def test_table_knows_the_weights_of_each_keras_layer(name):
    model = model_of(name)
    parts = parts_of(model)
    assert len(parts) > 1 or name == "RNN"
    for layer in parts:
        assert roles.roles_of(layer) == ROLES[type(layer).__name__]
        assert not roles.not_yet_known(layer)


def test_table_has_every_weighted_class_of_keras():
    """A class that comes with a new Keras shows here."""
    weighted = {
        name
        for name, cls in inspect.getmembers(k, inspect.isclass)
        if issubclass(cls, keras.Layer) and cls.__name__ == name
        for base in cls.__mro__[: cls.__mro__.index(keras.Layer)]
        if "self.add_weight(" in inspect.getsource(base)
    }
    of_other_libraries = {"FlaxLayer", "JaxLayer"}
    cells = {"LSTMCell", "GRUCell", "SimpleRNNCell"}
    assert weighted - set(LAYERS) - cells - of_other_libraries == set()


@pytest.mark.parametrize("name", [*LAYERS])
def test_each_function_takes_a_model_of_each_layer(name):
    """No raw error, no frozen weight drawn, and what is left alone is named."""
    model = model_of(name)
    shape = [2 if n is None else n for n in model.input_shape]
    rng = np.random.default_rng(0)
    x = rng.integers(0, 7, shape) if "Embedding" in name else rng.normal(size=shape)
    names = {layer.path for layer in parts_of(model)}
    kik.lint(model)
    diagnosis = kik.diagnose(model, x)
    assert diagnosis.record.roles()
    plan = kik.recommend(model)
    done = kik.reinitialize(model, plan, seed=0)
    assert {*plan, *(one.layer for one in plan.skipped)} <= names | {
        layer.path for layer in model._flatten_layers()
    }
    assert "head" in done.layers
    report = kik.lsuv(model, x)
    fitted = {fit.layer for fit in report.layers} | {s.layer for s in report.skipped}
    carriers = {owner.name for owner in find_owners(model)[0] if owner.trainable}
    cells = {layer.path for layer in model._flatten_layers() if hasattr(layer, "cells")}
    inside = {name for name in carriers for cell in cells if name.startswith(cell)}
    assert carriers - inside <= fitted
    assert all(np.isfinite(np.asarray(v, "float32")).all() for v in model.weights)


class Mixing(k.Layer):
    """A layer of one's own with weights in every role that a trace tells."""

    def build(self, shape):
        units = shape[-1]
        self.mix = self.add_weight(name="mix", shape=(units, units))
        self.turn = self.add_weight(name="turn", shape=(units, units))
        self.taps = self.add_weight(name="taps", shape=(3, units, units))
        self.einsum = self.add_weight(name="einsum", shape=(units, 2, units))
        self.how_much = self.add_weight(name="how_much", shape=(units,))
        self.shift = self.add_weight(name="shift", shape=(units,))
        self.places = self.add_weight(name="places", shape=(16, units))
        self.token = self.add_weight(name="token", shape=(1, 1, units))
        self.rows = self.add_weight(name="rows", shape=(5, units))
        self.left = self.add_weight(name="left", shape=(units, 2))
        self.right = self.add_weight(name="right", shape=(2, units))
        self.idle = self.add_weight(name="idle", shape=(units,), trainable=False)
        self.length = self.add_weight(name="length", shape=(units,))
        self.normed = self.add_weight(name="normed", shape=(units, units))

    def call(self, x):
        ops = keras.ops
        x = x @ self.mix
        x = ops.matmul(x, ops.transpose(self.turn))
        x = ops.conv(x, self.taps, padding="same")
        x = ops.einsum("btu,uhv->btv", x, self.einsum)
        x = x * self.how_much - self.shift
        x = x + self.places[: x.shape[1]]
        x = x + ops.take(self.rows, ops.cast(ops.abs(x[..., 0]) % 5, "int32"), axis=0)
        x = x @ (ops.eye(x.shape[-1]) + self.left @ self.right)
        x = x @ (self.length * ops.normalize(self.normed, axis=0))
        token = ops.broadcast_to(self.token, (ops.shape(x)[0], 1, x.shape[-1]))
        return ops.concatenate([token, x], axis=1)


EXPECTED = {
    "mix": "kernel",
    "turn": "kernel",
    "taps": "kernel",
    "einsum": "kernel",
    "how_much": "scale",
    "shift": "offset",
    "places": "position",
    "token": "other",
    "rows": "table",
    "left": "low_rank",
    "right": "low_rank",
    "idle": "other",
    "length": "scale",
    "normed": "kernel",
}


def mixing():
    inputs = k.Input((6, 4))
    outputs = k.Dense(2, name="head")(Mixing(name="mixing")(inputs))
    model = keras.Model(inputs, outputs)
    model.compile("sgd", "mse")
    return model


def test_roles_are_read_from_what_a_call_does_with_a_weight():
    model = mixing()
    assert set(roles.roles_of(model.get_layer("mixing")).values()) == {"other"}
    learn_roles(model)
    assert roles.roles_of(model.get_layer("mixing")) == EXPECTED
    # An idle weight is asked for again, all others are known.
    left = [variable.name for _, variable in uses.unknown_weights(model)]
    assert left == ["idle"]


@pytest.mark.parametrize(
    "options", [{}, {"jit_compile": True}, {"steps_per_execution": 2}]
)
def test_a_monitored_step_tells_the_roles(options):
    model = mixing()
    model.compile("adam", "mse", **options)
    x = np.random.default_rng(0).normal(size=(8, 6, 4)).astype("float32")
    monitor = kik.SignalMonitor(None, every=1)
    model.fit(x, np.zeros((8, 7, 2)), batch_size=4, verbose=0, callbacks=[monitor])
    told = {
        weight: role
        for (layer, weight), role in monitor.record.roles().items()
        if layer == "mixing"
    }
    assert told == {n: role for n, role in EXPECTED.items() if n != "idle"}


def test_an_eager_step_leaves_unknown_roles_unknown():
    """Calling the layer once more for them might change the training."""
    model = mixing()
    model.compile("sgd", "mse", run_eagerly=True)
    x = np.zeros((4, 6, 4), "float32")
    monitor = kik.SignalMonitor(None, every=1)
    model.fit(x, np.zeros((4, 7, 2)), verbose=0, callbacks=[monitor])
    told = monitor.record.roles()
    assert told["mixing", "mix"] == "other"
    assert told["head", "kernel"] == "kernel"


class OwnCell(k.Layer):
    """A recurrent cell of one's own, whose weights are used in a loop."""

    state_size = 4

    def build(self, shape):
        self.into = self.add_weight(name="into", shape=(shape[-1], 4))
        self.within = self.add_weight(name="within", shape=(4, 4))
        self.damp = self.add_weight(name="damp", shape=(4,))

    def call(self, x, states):
        state = keras.ops.tanh(x @ self.into + states[0] @ self.within) * self.damp
        return state, [state]


def test_weights_that_are_used_in_a_loop_are_found():
    model = keras.Sequential([k.Input((5, 3)), k.RNN(OwnCell(name="own"))])
    learn_roles(model)
    (cell,) = [layer for layer in model._flatten_layers() if layer.name == "own"]
    assert roles.roles_of(cell) == {
        "into": "kernel",
        "within": "kernel",
        "damp": "scale",
    }


class Own(k.Layer):
    def build(self, shape):
        self.w = self.add_weight(name="w", shape=(shape[-1],))

    def call(self, x):
        return x * self.w


def test_what_a_user_says_overrides_the_trace(monkeypatch):
    monkeypatch.setattr(roles, "_REGISTERED", {})
    kik.structure.register(Own, {"w": "other"})
    model = keras.Sequential([k.Input((3,)), Own(name="own")])
    learn_roles(model)
    assert kik.structure.roles_of(model.layers[0]) == {"w": "other"}
    with pytest.raises(ValueError, match=re.escape("Received: {'w': 'gate'}")):
        kik.structure.register(Own, {"w": "gate"})
    with pytest.raises(TypeError, match="`layer_class` must be a class of layers"):
        kik.structure.register(Own(), {"w": "scale"})


def test_subclass_of_a_keras_layer_keeps_its_roles():
    class Gated(k.Dense):
        def build(self, shape):
            super().build(shape)
            self.gate = self.add_weight(name="gate", shape=(self.units,))

        def call(self, x):
            return super().call(x) * self.gate

    model = keras.Sequential([k.Input((3,)), Gated(2, name="gated")])
    learn_roles(model)
    expected = {"kernel": "kernel", "bias": "offset", "gate": "scale"}
    assert roles.roles_of(model.layers[0]) == expected


def test_a_name_out_of_the_table_counts_only_where_keras_gave_it():
    class Scaled(k.Dense):
        def build(self, shape):
            super().build(shape)
            self.own = self.add_weight(name="kernel_scale", shape=(self.units,))

        def call(self, x):
            return super().call(x) * self.own

    model = keras.Sequential([k.Input((3,)), Scaled(2, name="scaled")])
    learn_roles(model)
    assert roles.roles_of(model.layers[0])["kernel_scale"] == "scale"


def test_weights_of_one_name_with_different_roles_are_not_told():
    class Twice(k.Layer):
        def build(self, shape):
            self.a = self.add_weight(name="w", shape=(3, 3))
            self.b = self.add_weight(name="w", shape=(3,))

        def call(self, x):
            return x @ self.a + self.b

    model = keras.Sequential([k.Input((3,)), Twice()])
    learn_roles(model)
    assert roles.roles_of(model.layers[0]) == {"w": "other"}


def test_roles_of_takes_layers():
    with pytest.raises(TypeError, match=r"must be a Keras layer\. Received: 3"):
        kik.structure.roles_of(3)


def test_a_registered_class_with_one_kernel_is_treated(monkeypatch):
    monkeypatch.setattr(roles, "_REGISTERED", {})

    class Linear(k.Layer):
        def build(self, shape):
            self.w = self.add_weight(name="w", shape=(shape[-1], 8))
            self.b = self.add_weight(name="b", shape=(8,), initializer="zeros")

        def call(self, x):
            return x @ self.w + self.b

    x = np.random.default_rng(0).normal(size=(64, 8)).astype("float32")
    layers = [Linear(name="own"), k.ReLU(), k.Dense(2)]
    model = keras.Sequential([k.Input((8,)), *layers])
    (skip,) = kik.recommend(model).skipped
    own = model.get_layer("own").path
    assert skip.layer == own
    kik.structure.register(Linear, {"w": "kernel", "b": "offset"})
    plan = kik.recommend(model)
    assert plan[own].gain == pytest.approx(np.sqrt(2))
    assert not plan.skipped
    before = model.get_layer("own").w.numpy()
    assert own in kik.reinitialize(model, plan, seed=0).layers
    assert (before != model.get_layer("own").w.numpy()).any()
    report = kik.lsuv(model, x, seed=0)
    assert report.layers[0].layer == own
    assert report.layers[0].converged
    assert not report.skipped


def test_every_role_has_a_meaning():
    assert set(EXPECTED.values()) | {"recurrent_kernel", "quantization"} == set(
        schema.ROLES
    )
    assert set(schema.CARRIERS) | set(schema.VECTORS) < set(schema.ROLES)


# A test on a weight's name, or on the classes of layers that own kernels.
_DECIDES = re.compile(
    r"endswith\([^)]*(kernel|bias|gamma|beta|embeddings)"
    r"|(in|==) *\(?\"(kernel|bias|gamma|beta|embeddings|recurrent_kernel)\""
    r"|isinstance\([^)]*(Dense|Embedding|Conv[1-3]|LSTM|GRU|SimpleRNN)"
    r"|/bias\|beta|hasattr\([^)]*\"(kernel|embeddings)\""
)
PACKAGE = pathlib.Path(schema.__file__).parent
LIGHT = PACKAGE.with_name("keras_initkit_light")


def test_one_place_decides_what_a_kernel_is():
    found = [
        f"{path.relative_to(PACKAGE.parent)}:{number}: {line.strip()}"
        for folder in (PACKAGE, LIGHT)
        for path in sorted(folder.rglob("*"))
        if path.suffix in (".py", ".js") and path.parent.name != "structure"
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if _DECIDES.search(line)
    ]
    assert found == []


def adapted(layer):
    layer.enable_lora(2)


def int8(layer):
    layer.quantize("int8")


def int4(layer):
    layer.quantize("int4")


def frozen(layer):
    layer.trainable = False


def kernel_frozen(layer):
    roles.carrier_of(layer).trainable = False


CHANGES = {
    "lora": (adapted, "low-rank adapter"),
    "int8": (int8, "is quantized (int8)"),
    "int4": (int4, "is quantized (int4)"),
    "frozen": (frozen, "is not trainable"),
    "kernel frozen": (kernel_frozen, "its kernel is not trainable"),
}
ADAPTABLE = {
    "Dense": lambda: k.Dense(8, name="one"),
    "EinsumDense": lambda: k.EinsumDense("ab,bc->ac", 8, bias_axes="c", name="one"),
    "TimeDistributed": lambda: k.TimeDistributed(k.Dense(8, name="one")),
}


@pytest.mark.parametrize("kind", ADAPTABLE)
@pytest.mark.parametrize("change", CHANGES)
def test_what_is_frozen_adapted_or_quantized_keeps_its_values(kind, change):
    """`lsuv`, `preserve_signal` and `fixup` raised; frozen kernels were drawn anew."""
    wrapped = kind == "TimeDistributed"
    inputs = k.Input((3, 8) if wrapped else (8,))
    outputs = ADAPTABLE[kind]()(inputs)
    model = keras.Model(inputs, k.Dense(2, name="head")(outputs))
    (layer,) = [one for one in model._flatten_layers() if one.name == "one"]
    apply, reason = CHANGES[change]
    apply(layer)
    kept = [v.numpy() for v in layer.variables]
    x = np.random.default_rng(0).normal(size=(32, *inputs.shape[1:])).astype("float32")
    head = model.get_layer("head").kernel.numpy()

    plan = kik.recommend(model)
    for report in (
        kik.lsuv(model, x, seed=0),
        kik.preserve_signal(model),
        kik.reinitialize(model, "he_normal", seed=0),
        plan,
    ):
        told = {skip.layer: skip.reason for skip in report.skipped}
        assert reason in told[layer.path], type(report).__name__
    kik.reinitialize(model, plan, seed=0)
    assert kik.lint(model) is not None
    assert kik.diagnose(model, x).profile
    assert roles.roles_of(layer)["kernel"] == "kernel"

    for before, variable in zip(kept, layer.variables, strict=True):
        np.testing.assert_array_equal(before, variable.numpy(), variable.path)
    assert (head != model.get_layer("head").kernel.numpy()).all()


def test_fixup_leaves_a_branch_with_an_adapter_alone():
    inputs = k.Input((8,))
    x = inputs
    for n in range(2):
        inside = k.Dense(8, "relu", name=f"a{n}")(x)
        x = k.Add()([x, k.Dense(8, name=f"b{n}")(inside)])
    model = keras.Model(inputs, k.Dense(2, name="head")(x))
    model.get_layer("a0").enable_lora(2)
    before = model.get_layer("a0")._kernel.numpy()
    result = kik.fixup(model, seed=0)
    told = {skip.layer: skip.reason for skip in result.skipped}
    assert "low-rank adapter" in told["a0"]
    np.testing.assert_array_equal(before, model.get_layer("a0")._kernel.numpy())


def test_a_single_frozen_weight_of_a_layer_keeps_its_values():
    model = keras.Sequential([k.Input((5, 4)), k.LSTM(3, name="memory")])
    model.layers[0].cell.recurrent_kernel.trainable = False
    before = model.layers[0].cell.recurrent_kernel.numpy()
    result = kik.reinitialize(model, kik.recommend(model), seed=0)
    assert "its recurrent_kernel is not trainable" in {
        skip.reason for skip in result.skipped
    }
    np.testing.assert_array_equal(before, model.layers[0].cell.recurrent_kernel.numpy())
    kik.reinitialize(model, "glorot_uniform", seed=0, layers="memory")
    assert (before != model.layers[0].cell.recurrent_kernel.numpy()).any()


def test_lsuv_fits_any_recurrent_layer():
    x = np.random.default_rng(0).normal(size=(64, 5, 6, 6, 2)).astype("float32")
    model = keras.Sequential([k.Input(x.shape[1:]), k.ConvLSTM2D(4, 3, name="film")])
    (fit,) = kik.lsuv(model, x).layers
    assert fit.layer.endswith("film")
    assert fit.converged
    cell = model.layers[0].cell
    frames = x.reshape(-1, *x.shape[2:])
    signal = keras.ops.conv(frames, cell.kernel, padding=cell.padding)
    assert np.std(np.array(signal)) == pytest.approx(fit.std_after, rel=1e-5)


def test_further_weights_of_a_layer_that_are_frozen_keep_their_values():
    layers = [k.SeparableConv2D(4, 3, name="both"), k.Flatten(), k.Dense(2)]
    model = keras.Sequential([k.Input((6, 6, 3)), *layers])
    layer = model.get_layer("both")
    layer.depthwise_kernel.trainable = layer.bias.trainable = False
    layer.bias.assign(np.arange(4.0))
    kept = [v.numpy() for v in (layer.depthwise_kernel, layer.bias)]
    x = np.random.default_rng(0).normal(size=(32, 6, 6, 3)).astype("float32")
    report = kik.lsuv(model, x, mean_shift=True, seed=0)
    for before, variable in zip(
        kept, (layer.depthwise_kernel, layer.bias), strict=True
    ):
        np.testing.assert_array_equal(before, variable.numpy())
    assert [(skip.layer, skip.reason) for skip in report.skipped] == [
        (layer.path, "its depthwise_kernel is not trainable"),
        (layer.path, "its bias is not trainable"),
    ]
    kik.lsuv(model, x, mean_shift=True, seed=0, layers="both")
    assert (kept[0] != layer.depthwise_kernel.numpy()).any()
    assert (kept[1] != layer.bias.numpy()).any()


def test_reasons_are_those_of_the_plan_and_can_be_followed():
    inputs = k.Input((), dtype="int32")
    x = k.Embedding(7, 8, name="table")(inputs)
    x = k.Add()([x, k.Dense(8)(k.Dense(8, name="inner")(x))])
    model = keras.Model(inputs, k.Dense(2)(x))
    model.get_layer("table").embeddings.trainable = False
    model.get_layer("inner").trainable = False
    plan = kik.recommend(model)
    reasons = {skip.layer: skip.reason for skip in plan.skipped}
    assert reasons["table"].startswith("its embeddings are not trainable")
    assert reasons["inner"].startswith("is not trainable; name it in a mapping")
    done = kik.reinitialize(model, plan, seed=0)
    assert {skip.layer: skip.reason for skip in done.skipped} == reasons
    assert kik.reinitialize(model, {"inner": "he_normal"}).layers == ("inner",)
    with pytest.raises(ValueError, match="is not trainable") as raised:
        kik.fixup(model)
    assert "in `layers`" not in str(raised.value)
