"""One list of initializers, one list of promises, on every backend.

Runs on the backend of the session; `test_initializers_backends.py` runs this file
again on JAX and torch, where they are installed.
"""

import dataclasses
import json
import math
import pathlib
import re
import subprocess
import sys
from collections.abc import Callable

import keras
import numpy as np
import pytest

import keras_initkit as kik
from keras_initkit.initializers import _base, _catalog

I = kik.initializers  # noqa: E741
# Relative standard error of a std is C / sqrt(n).
C = {"normal": 0.71, "truncated": 0.58, "uniform": 0.45}


def dense(initializer):
    return keras.layers.Dense(6, kernel_initializer=initializer), (4,)


def conv(initializer):
    layer = keras.layers.Conv2D(8, 3, padding="same", kernel_initializer=initializer)
    return layer, (5, 5, 4)


def einsum(initializer):
    layer = keras.layers.EinsumDense(
        "abc,bcd->abd", (5, 4), kernel_initializer=initializer
    )
    return layer, (5, 4)


def reader(initializer):
    layer = keras.layers.EinsumDense("abc,bcd->ad", 4, kernel_initializer=initializer)
    return layer, (5, 4)


def recurrent(initializer):
    return keras.layers.LSTM(3, recurrent_initializer=initializer), (5, 2)


def bias(initializer):
    return keras.layers.Dense(4, bias_initializer=initializer), (3,)


def lstm_bias(initializer):
    layer = keras.layers.LSTM(3, unit_forget_bias=False, bias_initializer=initializer)
    return layer, (5, 2)


def gru_bias(initializer):
    return keras.layers.GRU(3, bias_initializer=initializer), (5, 2)


@dataclasses.dataclass(frozen=True)
class Case:
    """An initializer, a shape on which a wrong fan shows, and what to expect."""

    build: Callable
    arguments: dict
    shape: tuple
    bad_shape: tuple | None  # `None`: there is none
    layer: Callable = dense
    std: float | None = None  # of independent entries
    spread: str = "normal"
    zeros: float = 0.0  # fraction of entries that are zero by construction

    @property
    def id(self):
        values = [
            type(v).__name__ if isinstance(v, keras.Initializer) else str(v)
            for v in self.arguments.values()
        ]
        return "-".join([self.build.__name__, *values])

    def make(self, seed=5):
        if not self.seeded:
            return self.build(**self.arguments)
        return self.build(**self.arguments, seed=seed)

    @property
    def seeded(self):
        return issubclass(self.build, _base.SeededInitializer)


DENSE, CONV = (400, 100), (3, 3, 100, 20)
TANH = 1.5925374197228312
HE = keras.initializers.HeNormal(seed=3)
CASES = [
    Case(I.FanInUniform, {}, DENSE, (3,), std=math.sqrt(1 / 1200), spread="uniform"),
    Case(
        I.FanInUniform,
        {"scale": 2.0},
        CONV,
        (3,),
        std=math.sqrt(2 / 2700),
        spread="uniform",
    ),
    Case(I.ActivationScaling, {}, DENSE, (), std=0.005**0.5, spread="truncated"),
    Case(
        I.ActivationScaling,
        {"activation": "tanh", "mode": "fan_out", "distribution": "uniform"},
        DENSE,
        (3,),
        std=TANH / 10,
        spread="uniform",
    ),
    Case(
        I.ActivationScaling,
        {
            "activation": "relu",
            "mode": "fan_avg",
            "distribution": "untruncated_normal",
            "convention": "torch",
        },
        CONV,
        (3,),
        layer=conv,
        std=math.sqrt(2 / 540),
    ),
    Case(I.KaimingNormal, {"a": 0.3}, DENSE, (3,), std=math.sqrt(2 / 1.09 / 400)),
    Case(
        I.KaimingUniform,
        {"a": math.sqrt(5), "mode": "fan_out"},
        CONV,
        (3,),
        layer=conv,
        std=math.sqrt(1 / 3 / 180),
        spread="uniform",
    ),
    Case(I.XavierNormal, {"gain": 3.0}, DENSE, (3,), std=3 * math.sqrt(2 / 500)),
    Case(
        I.XavierUniform,
        {"gain": 5 / 3},
        CONV,
        (3,),
        layer=conv,
        std=5 / 3 * math.sqrt(2 / 1080),
        spread="uniform",
    ),
    Case(
        I.AxisVarianceScaling,
        {"mode": "fan_avg", "distribution": "normal", "in_axis": [0, 1]},
        (30, 10, 20),
        (3, 4),
        layer=reader,
        std=math.sqrt(2 / 320),
    ),
    Case(I.TruncNormal, {"std": 0.02}, DENSE, None, std=0.02),
    Case(
        I.TruncNormal,
        {"std": 0.02, "a": -1.0, "b": 1.0, "relative": True},
        CONV,
        None,
        layer=conv,
        std=0.02 * 0.5396,
        spread="uniform",
    ),
    Case(I.Sparse, {"sparsity": 0.25, "std": 0.5}, DENSE, (3, 3, 4)),
    Case(
        I.FanInUniformBias,
        {"fan_in": 3},
        (5000,),
        None,
        layer=bias,
        std=1 / 3,
        spread="uniform",
    ),
    Case(I.DeltaOrthogonal, {"gain": 1.5}, (3, 3, 8, 16), (4, 4), layer=conv),
    Case(I.ConvolutionOrthogonal, {}, (3, 2, 8, 16), (3, 3, 16, 8), layer=conv),
    Case(I.GateOrthogonal, {"gates": 4}, (16, 64), (16, 62), layer=recurrent),
    Case(I.GateOrthogonal, {"gates": 3, "gain": 2.0}, (8, 48), (8, 16)),
    Case(I.Dirac, {"gain": 0.5}, (3, 3, 4, 8), (4,), layer=conv),
    Case(I.RecurrentIdentity, {}, (6, 24), (6, 25), layer=recurrent),
    Case(I.ZerO, {}, (6, 16), (4,)),
    Case(I.SparseNormal, {"stddev": 0.3}, DENSE, (3,), zeros=385 / 400),
    Case(I.SparseNormal, {"connections": 9}, (3, 3, 40, 50), (3,), conv, zeros=0.975),
    Case(I.ICNR, {"base": HE}, (3, 3, 4, 16), (3, 3, 4, 6), layer=conv),
    Case(I.Siren, {}, DENSE, (3,), std=math.sqrt(2 / 400) / 30, spread="uniform"),
    Case(
        I.Siren,
        {"first": True},
        DENSE,
        (3,),
        std=1 / 400 / math.sqrt(3),
        spread="uniform",
    ),
    Case(I.MimeticAttention, {"part": "value"}, (12, 2, 6), (3,), layer=dense),
    Case(I.ChronoBias, {"units": 3}, (12,), (13,), layer=lstm_bias),
    Case(I.ChronoBias, {"cell": "gru", "units": 3}, (2, 9), (3, 9), layer=gru_bias),
    Case(I.UnitForgetBias, {"units": 3}, (12,), (6,), layer=lstm_bias),
    Case(I.PriorBias, {"class_prior": [0.1, 0.2, 0.3, 0.4]}, (4,), (5,), layer=bias),
    Case(
        I.PriorBias,
        {"class_prior": [7, 1, 1, 1], "activation": "softmax"},
        (4,),
        (2, 2),
        layer=bias,
    ),
    Case(I.DepthScaled, {"base": I.Siren(seed=3), "depth": 9}, DENSE, ()),
    Case(
        I.DepthScaled,
        {"base": HE, "depth": 4, "rule": "gpt2"},
        DENSE,
        (),
        std=math.sqrt(2 / 400) / 2,
        spread="truncated",
    ),
    Case(
        I.MuPReadout,
        {"base": HE, "base_fan_in": 25},
        DENSE,
        (3,),
        std=math.sqrt(2 / 400) / 4,
        spread="truncated",
    ),
    Case(
        I.FanCorrected,
        {"base": HE, "rule": "transposed", "stride": 4},
        (3, 3, 20, 100),
        (3,),
        layer=conv,
        std=math.sqrt(2 * 4 / 900),
        spread="truncated",
    ),
    Case(
        I.FanCorrected,
        {"base": I.FanInUniform(2.0, seed=3), "rule": "blocks", "blocks": 2},
        DENSE,
        (3,),
        std=math.sqrt(2 / 1200),
        spread="uniform",
    ),
    Case(
        I.Blockwise,
        {"base": I.SparseNormal(seed=3), "rule": "transposed"},
        (3, 3, 20, 40),
        (3,),
    ),
    Case(
        I.Blockwise,
        {"base": HE, "rule": "axes", "input_axes": [1], "output_axes": [2]},
        (20, 100, 50),
        (3,),
        layer=einsum,
        std=math.sqrt(2 / 100),
        spread="truncated",
    ),
    Case(
        I.ZeroSum, {"base": HE}, DENSE, (3,), std=math.sqrt(2 / 400), spread="truncated"
    ),
    Case(I.ZeroSum, {"base": HE}, CONV, (3,), layer=conv),
]
each_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
each_seeded = pytest.mark.parametrize(
    "case", [c for c in CASES if c.seeded], ids=lambda case: case.id
)
each_drawn = pytest.mark.parametrize(
    "case", [c for c in CASES if c.std], ids=lambda case: case.id
)


def values_of(initializer, shape, dtype=None):
    tensor = initializer(shape, dtype=dtype)
    return keras.ops.convert_to_numpy(keras.ops.cast(tensor, "float32"))


def test_every_class_of_the_kit_has_a_case():
    assert {case.build for case in CASES} == set(_base.KIT_CLASSES)
    kit = {e.cls for e in _catalog.catalog() if e.cls.__module__.startswith("keras_i")}
    assert kit == set(_base.KIT_CLASSES)


@each_case
@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16", "float64"])
def test_shape_and_dtype(case, dtype):
    if dtype == "float64" and keras.backend.backend() == "jax":
        pytest.skip("JAX has no float64 unless told so")
    tensor = case.make()(case.shape, dtype=dtype)
    assert tuple(tensor.shape) == case.shape
    assert keras.backend.standardize_dtype(tensor.dtype) == dtype
    exact = values_of(case.make(), case.shape)
    values = keras.ops.convert_to_numpy(keras.ops.cast(tensor, "float32"))
    assert np.all(np.isfinite(values))
    if dtype == "float64":
        scale = math.sqrt(np.mean(values**2) / np.mean(exact**2))
        np.testing.assert_allclose(scale, 1.0, rtol=0.3)


@each_case
def test_default_dtype_is_the_float_of_keras(case):
    before = keras.config.floatx()
    try:
        keras.config.set_floatx("float16")
        tensor = case.make()(case.shape)
        assert keras.backend.standardize_dtype(tensor.dtype) == "float16"
    finally:
        keras.config.set_floatx(before)


@each_seeded
def test_seed_rule(case):
    once, same, other = case.make(5), case.make(5), case.make(6)
    values = values_of(once, case.shape)
    np.testing.assert_array_equal(values, values_of(once, case.shape))
    np.testing.assert_array_equal(values, values_of(same, case.shape))
    assert not np.array_equal(values, values_of(other, case.shape))
    unseeded, another = case.make(None), case.make(None)
    values = values_of(unseeded, case.shape)
    np.testing.assert_array_equal(values, values_of(unseeded, case.shape))
    assert not np.array_equal(values, values_of(another, case.shape))
    moving = case.make(keras.random.SeedGenerator(5))
    assert not np.array_equal(
        values_of(moving, case.shape), values_of(moving, case.shape)
    )


@each_seeded
def test_seed_none_follows_set_random_seed(case):
    drawn = []
    for _ in range(2):
        keras.utils.set_random_seed(11)
        drawn.append(values_of(case.make(None), case.shape))
    np.testing.assert_array_equal(*drawn)


@each_drawn
def test_moments_within_five_standard_errors(case):
    values = values_of(case.make(), case.shape)
    error = case.std / math.sqrt(values.size)
    assert abs(values.mean()) < 5 * error
    relative = C[case.spread] / math.sqrt(values.size)
    np.testing.assert_allclose(values.std(), case.std, rtol=5 * relative)
    # The next wrong answer, fan_in for fan_out, is far outside: a factor 2 and more.
    assert 5 * relative < 0.1


@pytest.mark.parametrize(
    "case", [c for c in CASES if c.build is I.SparseNormal], ids=lambda case: case.id
)
def test_sparse_units_have_their_number_of_connections(case):
    values = values_of(case.make(), case.shape).reshape(-1, case.shape[-1])
    connections = case.arguments.get("connections", 15)
    np.testing.assert_array_equal((values != 0).sum(axis=0), connections)
    assert np.mean(values == 0) == pytest.approx(case.zeros)
    present = values[values != 0]
    stddev = case.arguments.get("stddev", 1.0)
    error = 5 * C["normal"] / math.sqrt(present.size)
    np.testing.assert_allclose(present.std(), stddev, rtol=error)


@each_case
def test_config_and_json_round_trip(case):
    initializer = case.make()
    text = json.dumps(keras.initializers.serialize(initializer))
    again = keras.initializers.deserialize(json.loads(text))
    assert type(again) is case.build
    assert again.get_config() == initializer.get_config()
    copy = case.build.from_config(initializer.get_config())
    expected = values_of(initializer, case.shape)
    np.testing.assert_array_equal(values_of(again, case.shape), expected)
    np.testing.assert_array_equal(values_of(copy, case.shape), expected)


@each_case
def test_clone(case):
    initializer = case.make()
    clone = initializer.clone()
    assert clone is not initializer
    assert type(clone) is case.build
    assert clone.get_config() == initializer.get_config()


@each_seeded
def test_seed_generator_survives_a_round_trip(case):
    initializer = case.make(keras.random.SeedGenerator(5))
    again = case.build.from_config(initializer.get_config())
    assert isinstance(again.seed, keras.random.SeedGenerator)
    np.testing.assert_array_equal(
        values_of(again, case.shape), values_of(initializer, case.shape)
    )


@pytest.mark.parametrize(
    "case", [c for c in CASES if c.bad_shape is not None], ids=lambda case: case.id
)
def test_wrong_shape_is_refused_by_name(case):
    with pytest.raises(ValueError, match=rf"{re.escape(str(case.bad_shape))}") as info:
        case.make()(case.bad_shape)
    assert case.build.__name__ in str(info.value)
    assert "`shape`" in str(info.value) or "`gates`" in str(info.value)


@each_case
def test_integer_dtype_is_refused(case):
    message = "`dtype` must be a float dtype. Received: dtype='int32'."
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        case.make()(case.shape, dtype="int32")


@each_seeded
def test_seed_of_a_wrong_type_is_refused(case):
    message = (
        "`seed` must be an integer, None or a keras.random.SeedGenerator. "
        "Received: seed=0.5."
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        case.make(0.5)


_LOAD = """
import json, sys
import keras, keras_initkit
import numpy as np
model = keras.models.load_model(sys.argv[1])
report = {}
for layer in model.layers:
    if layer.weights:
        report[layer.name] = [
            [keras.initializers.serialize(getattr(layer, name))
             for name in ("kernel_initializer", "recurrent_initializer",
                          "bias_initializer") if hasattr(layer, name)],
            [float(np.abs(keras.ops.convert_to_numpy(w)).sum()) for w in layer.weights],
        ]
print(json.dumps(report))
"""


def test_keras_file_loads_in_a_new_process(tmp_path):
    inputs, outputs, expected = [], [], {}
    for n, case in enumerate(CASES):
        if case.build is I.MimeticAttention:
            case = dataclasses.replace(case, arguments={"part": "query", "heads": 2})
        layer, shape = case.layer(case.make())
        layer.name = f"case_{n}"
        inputs.append(keras.Input(shape))
        outputs.append(layer(inputs[-1]))
        initializers = [
            keras.initializers.serialize(getattr(layer, name))
            for name in (
                "kernel_initializer",
                "recurrent_initializer",
                "bias_initializer",
            )
            if hasattr(layer, name)
        ]
        sums = [
            float(np.abs(keras.ops.convert_to_numpy(w)).sum()) for w in layer.weights
        ]
        expected[layer.name] = [initializers, sums]
    path = tmp_path / "model.keras"
    keras.Model(inputs, outputs).save(path)
    root = pathlib.Path(kik.__file__).parent.parent
    done = subprocess.run(
        [sys.executable, "-c", _LOAD, str(path)],
        capture_output=True,
        text=True,
        cwd=root,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == json.loads(json.dumps(expected))


def drawn_or_refused(initializer, shape):
    try:
        return initializer(shape)
    except ValueError as error:
        return str(error)


@pytest.mark.parametrize("shape", [(), (8,), (0,), (4, 6), (2, 2, 2, 2, 2, 2)], ids=str)
def test_any_shape_is_drawn_or_refused_by_name(shape):
    """Keras hands an initializer any shape, such as that of a bias."""
    for entry in kik.initializers.catalog():
        initializer = kik.initializers.get(entry.name)
        answer = drawn_or_refused(initializer, shape)
        if not isinstance(answer, str):
            assert tuple(answer.shape) == shape, entry.name
        elif type(initializer).__module__.startswith(kik.__name__):
            lacks_another = "must be given" in answer and len(shape) > 1
            assert answer.startswith(type(initializer).__name__), entry.name
            assert str(shape) in answer or lacks_another, entry.name
