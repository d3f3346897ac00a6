"""The page for those who come from elsewhere: its code runs, its numbers are theirs."""

import ast
import math
import pathlib
import re

import keras
import numpy as np
import pytest

import keras_initkit as kik
from keras_initkit import initializers as I

PAGE = pathlib.Path(__file__).parents[2] / "docs" / "coming_from.md"
ROWS = re.findall(
    r"^\| (`[^|]+) \| `([^|`]+)` \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE
)


def numpy(tensor):
    return np.asarray(keras.ops.convert_to_numpy(tensor), np.float64)


@pytest.mark.parametrize(("theirs", "code"), ROWS)
def test_code_of_the_page_runs(theirs, code):
    model = keras.Sequential([keras.Input((6,)), keras.layers.Dense(4)])
    names = {"keras": keras, "kik": kik, "I": I, "model": model}
    parsed = compile(ast.parse(code, mode="eval"), code, "eval")
    made = eval(parsed, names)
    if isinstance(made, I.FanInUniformBias):
        layer = keras.layers.Dense(6, bias_initializer=made)
        layer.build((None, 9))
        assert numpy(layer.bias).std() > 0
    elif isinstance(made, keras.Initializer):
        matrix = isinstance(made, (I.DeltaOrthogonal, I.ICNR))
        shape = (3, 3, 8, 16) if matrix else (8, 16)
        values = numpy(made(shape))
        assert values.shape == shape
        assert values.any()
    else:
        assert isinstance(made, (float, kik.reinit.ReinitializeResult))


def test_every_row_of_the_page_is_run():
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    table = [line for line in lines if line.startswith("| `")]
    heads = [line for line in table if "| here |" in line]
    others = [line for line in lines if line.startswith("| the same")]
    assert len(ROWS) == len(table) - len(heads)
    assert len(others) == 1
    assert len(ROWS) > 25


# What torch's documentation says each does to a Linear of 400 inputs and 100 outputs,
# weight `(100, 400)`: the standard deviation, and the bound of a uniform one.
TORCH = {
    "xavier_uniform_(gain=5/3)": (
        I.XavierUniform(5 / 3, seed=1),
        5 / 3 * math.sqrt(2 / 500),
        5 / 3 * math.sqrt(6 / 500),
    ),
    "kaiming_uniform_(a=sqrt(5))": (
        I.KaimingUniform(math.sqrt(5), seed=1),
        math.sqrt(2 / 6 / 400),
        1 / math.sqrt(400),
    ),
    "kaiming_normal_(mode='fan_out')": (
        I.KaimingNormal(mode="fan_out", seed=1),
        math.sqrt(2 / 100),
        None,
    ),
    "kaiming_normal_(nonlinearity='tanh')": (
        I.KaimingNormal(nonlinearity="tanh", seed=1),
        5 / 3 / math.sqrt(400),
        None,
    ),
    "kaiming_normal_(nonlinearity='selu')": (
        I.KaimingNormal(nonlinearity="selu", seed=1),
        3 / 4 / math.sqrt(400),
        None,
    ),
    "trunc_normal_(std=0.02)": (I.TruncNormal(std=0.02, seed=1), 0.02, None),
    "trunc_normal_(std=0.02, a=-0.04, b=0.04)": (
        I.TruncNormal(std=0.02, a=-0.04, b=0.04, seed=1),
        0.02 * 0.8796256610342398,
        0.04,
    ),
    "trunc_normal_tf_(std=0.02)": (
        I.TruncNormal(std=0.02, relative=True, seed=1),
        0.02 * 0.8796256610342398,
        0.04,
    ),
    "Linear.weight": (I.FanInUniform(seed=1), math.sqrt(1 / 1200), 1 / 20),
}


@pytest.mark.parametrize("name", TORCH)
def test_same_numbers_as_torch(name):
    initializer, std, bound = TORCH[name]
    values = numpy(initializer((400, 100)))
    # 0.71 / √n is the relative standard error of a normal's, the largest of these.
    np.testing.assert_allclose(values.std(), std, rtol=5 * 0.71 / 200)
    if bound is not None:
        assert 0.99 * bound < np.abs(values).max() <= bound * (1 + 1e-6)


@pytest.mark.parametrize("relative", [False, True])
@pytest.mark.parametrize(
    ("mean", "std", "a", "b"), [(0.5, 2.0, 0.0, 1.0), (0.0, 1.0, 1.0, 3.0)]
)
def test_trunc_normal_is_the_normal_between_its_bounds(mean, std, a, b, relative):
    """Moments of a cut normal, by quadrature on a fine grid."""
    values = numpy(I.TruncNormal(mean, std, a, b, relative, seed=1)((200, 200)))
    low, high = (mean + std * a, mean + std * b) if relative else (a, b)
    grid = np.linspace(low, high, 20001)
    density = np.exp(-(((grid - mean) / std) ** 2) / 2)
    density /= density.sum()
    expected = (grid * density).sum()
    spread = math.sqrt(((grid - expected) ** 2 * density).sum())
    assert values.min() >= low - 1e-6
    assert values.max() <= high + 1e-6
    assert abs(values.mean() - expected) < 5 * spread / 200
    np.testing.assert_allclose(values.std(), spread, rtol=5 * 0.71 / 200)


@pytest.mark.parametrize(
    ("shape", "axes", "fans"),
    [
        ((3, 3, 40, 50), {}, (360, 450)),
        ((40, 5, 50), {"in_axis": 0, "out_axis": (1, 2)}, (40, 250)),
        ((5, 40, 50), {"batch_axis": 0}, (40, 50)),
        ((40, 50, 3), {"in_axis": -3, "out_axis": -2}, (120, 150)),
    ],
)
@pytest.mark.parametrize("mode", ["fan_in", "fan_out", "fan_avg"])
def test_axis_variance_scaling_has_the_fans_of_jax(shape, axes, fans, mode):
    one = I.AxisVarianceScaling(1.0, mode, "uniform", **axes, seed=1)
    fan = {"fan_in": fans[0], "fan_out": fans[1], "fan_avg": sum(fans) / 2}[mode]
    values = numpy(one(shape))
    error = 5 * 0.45 * 2 / math.sqrt(values.size)
    np.testing.assert_allclose(values.var() * fan, 1.0, rtol=error)


def test_sparse_keeps_a_share_of_each_input():
    for sparsity, zeros in ((0.0, 0), (0.1, 5), (0.5, 25), (0.99, 50)):
        values = numpy(I.Sparse(sparsity, seed=1)((40, 50)))
        np.testing.assert_array_equal(np.count_nonzero(values == 0, axis=1), zeros)


def test_bias_is_told_the_fan_in_of_its_layer():
    k = keras.layers
    for layer, shape, fan_in in (
        (k.Dense(4000), (None, 64), 64),
        (k.Conv1D(4000, 3), (None, 9, 8), 24),
        (k.Conv1D(4000, 3, groups=4), (None, 9, 8), 6),
    ):
        layer.bias_initializer = I.FanInUniformBias(seed=1)
        layer.build(shape)
        bias = numpy(layer.bias)
        assert np.abs(bias).max() <= 1 / math.sqrt(fan_in) < 1.01 * np.abs(bias).max()
        kik_s = I.for_layer(layer, "fan_in_uniform_bias", "bias")
        assert kik_s.fan_in == fan_in
    for layer, shape in (
        (k.LSTM(4), (None, 3, 4)),
        (k.Conv1DTranspose(4, 3), (9, 9, 4)),
    ):
        layer.build(shape)
        with pytest.raises(
            ValueError, match="FanInUniformBias: the weight must be the"
        ):
            I.for_layer(layer, "fan_in_uniform_bias", "bias")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: I.KaimingNormal(mode="fan_avg"), "`mode` must be known"),
        (lambda: I.KaimingNormal(a=math.nan), "`a` must be a finite number"),
        (lambda: I.KaimingUniform(nonlinearity="gelu"), "`nonlinearity` must be known"),
        (lambda: I.XavierNormal(gain=0), "`gain` must be a finite number above 0"),
        (lambda: I.TruncNormal(a=2.0, b=1.0), "`a` and `b` must be bounds, a < b"),
        (lambda: I.TruncNormal(std=0.01, a=1.0), "deviations from the mean"),
        (lambda: I.TruncNormal(std=-1.0), "`std` must be a finite number above 0"),
        (lambda: I.Sparse(1.0), "`sparsity` must lie in [0, 1)"),
        (lambda: I.FanInUniformBias(0), "`fan_in` must be an integer of at least 1"),
        (lambda: I.AxisVarianceScaling(in_axis=0.5), "`in_axis` must be an integer"),
        (
            lambda: I.AxisVarianceScaling(in_axis=1)((4, 4)),
            "each named axis exactly on",
        ),
        (lambda: I.FanInUniformBias()((4,)), "`fan_in` must be given"),
    ],
)
def test_arguments_are_refused_by_name(make, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        make()
