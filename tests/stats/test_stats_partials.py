"""Partials against float64 numpy, over magnitudes, shapes and dtypes."""

import functools

import numpy as np
import pytest
import tensorflow as tf

from keras_initkit import schema, stats, theory

RNG = np.random.default_rng(0)
NORMAL = RNG.standard_normal((40, 30)).astype(np.float32)

TENSORS = {
    "normal": NORMAL,
    "relu": np.maximum(NORMAL, 0),
    "large_mean": (1000 + 0.1 * NORMAL).astype(np.float32),
    "tiny": NORMAL * np.float32(1e-25),
    "huge": NORMAL * np.float32(1e30),
    "zeros": np.zeros((4, 5), np.float32),
    "constant": np.full((7, 3), 0.1, np.float32),
    "one_value": np.array([[2.5]], np.float32),
    "vector": NORMAL[0],
    "rank_4": RNG.uniform(-3, 5, (6, 5, 4, 3)).astype(np.float32),
    "negative_zero": np.array([[-0.0, 0.0, 1.0, -1.0]], np.float32),
    "one_spike": np.concatenate([np.zeros((999, 1)), [[1e-6]]]).astype(np.float32),
}


def reference(x):
    """The statistics every signal has, in float64."""
    x = np.asarray(x, np.float64)
    return {
        "mean": x.mean(),
        "std": x.std(),
        "rms": np.sqrt(np.mean(x**2)),
        "norm": np.linalg.norm(x.ravel()),
        "min": x.min(),
        "max": x.max(),
        "zero_fraction": np.mean(x == 0),
        "nonfinite_count": np.count_nonzero(~np.isfinite(x)),
    }


def reduced(*parts, compile_with=lambda f: f, **reduction):
    """Every statistic of a tensor that comes in one part or several."""
    options = {"counted_above": 0, "projected_rows": 16384} | reduction
    compiled = compile_with is MODES["xla"]

    def of_parts(*parts):
        reductions = [stats.Reduction(**options, part=i) for i in range(len(parts))]
        return [
            stats.reduce([part], [reduction], compiled=compiled)
            for part, reduction in zip(parts, reductions, strict=True)
        ]

    found = compile_with(of_parts)(*map(tf.convert_to_tensor, parts))
    units = [parts[0].shape[-1]]
    values = stats.finalize(
        stats.merge([part["scalars"] for part in found]),
        stats.Layout.of_moments(1)._replace(
            has_units=np.array([parts[0].ndim > 1]),
            counted=np.array(units),
            projected=np.array(units if options["projected_rows"] else [0]),
        ),
        **{
            name: np.sum([part[name] for part in found], axis=0)
            for name in ("counts", "projections")
            if name in found[0]
        },
    )
    return dict(zip(schema.STATISTICS, values[0], strict=True))


MODES = {
    "eager": lambda f: f,
    "graph": lambda f: tf.function(f),
    "xla": lambda f: tf.function(f, jit_compile=True),
}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", TENSORS)
def test_scalars_agree_with_float64(name, mode):
    x = TENSORS[name]
    values, expected = reduced(x, compile_with=MODES[mode]), reference(x)
    for statistic, value in expected.items():
        # The mean may cancel: it is as exact as the values it is a mean of.
        slack = 1e-6 * expected["rms"] if statistic == "mean" else 0.0
        assert values[statistic] == pytest.approx(value, rel=1e-5, abs=slack), statistic


def test_tensors_are_reduced_each_for_itself():
    """One that needs care changes nothing of its neighbours."""
    names = list(TENSORS)
    tensors = [tf.constant(TENSORS[name]) for name in names]
    together = stats.reduce(tensors, [stats.Reduction(counted_above=0)] * len(names))
    ends = np.cumsum([x.shape[-1] for x in tensors])
    counts = np.split(together["counts"].numpy(), ends[:-1])
    for name, row, count in zip(
        names, together["scalars"].numpy(), counts, strict=True
    ):
        expected = reference(TENSORS[name])
        found = dict(zip(stats.PARTIALS, row, strict=True))
        std = np.sqrt(found["m2"] / found["count"])
        assert std == pytest.approx(expected["std"], rel=1e-5), name
        assert count.sum() == np.count_nonzero(TENSORS[name]), name


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("mean", "spread"), [(1e3, 0.1), (1.0, 1e-4), (1e6, 1.0)])
def test_large_mean_keeps_its_variance(mean, spread, mode):
    x = (mean + spread * RNG.standard_normal((525, 997))).astype(np.float32)
    std = reduced(x, compile_with=MODES[mode])["std"]
    assert std == pytest.approx(x.astype(np.float64).std(), rel=1e-5)


@pytest.mark.parametrize("mode", MODES)
def test_sums_of_many_positive_entries_are_exact(mode):
    """Added up in float32 one after the other, they lose more than is promised."""
    x = np.abs(RNG.standard_normal((2**21, 8), np.float32))
    values, expected = reduced(x, compile_with=MODES[mode]), reference(x)
    for statistic in ("mean", "std", "rms", "norm"):
        assert values[statistic] == pytest.approx(expected[statistic], rel=1e-5)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_is_computed_in_float32(dtype):
    x = tf.cast(NORMAL * 300, dtype)
    values = reduced(x, compile_with=tf.function)
    expected = reference(tf.cast(x, tf.float64).numpy())
    for statistic, value in expected.items():
        assert values[statistic] == pytest.approx(
            value, rel=1e-5, abs=1e-6 * expected["rms"]
        )


@pytest.mark.parametrize(
    ("mode", "parts"), [("eager", 1), ("eager", 2), ("graph", 1), ("xla", 1)]
)
@pytest.mark.parametrize(
    "entries",
    [[np.nan], [np.inf], [-np.inf], [np.inf, -np.inf], [np.nan, np.inf], [np.nan] * 60],
    ids=str,
)
def test_nonfinite_entries_are_counted_and_propagate(entries, mode, parts):
    x = np.linspace(-1, 2, 60, dtype=np.float32).reshape(12, 5)
    x.ravel()[: len(entries)] = entries
    x = x[np.arange(12) * 7 % 12]  # in both parts, where there are many
    values = reduced(*np.split(x, parts), compile_with=MODES[mode])
    with np.errstate(invalid="ignore"):
        expected = reference(x)
    for statistic, value in expected.items():
        assert values[statistic] == pytest.approx(value, nan_ok=True), statistic


def test_infinities_of_one_sign_in_two_parts_have_an_infinite_mean():
    part = np.array([[1.0], [np.inf]], np.float32)
    assert reduced(part, part)["mean"] == np.inf


def test_empty_tensor_has_no_statistics_but_counts():
    values = reduced(np.zeros((0, 3), np.float32), compile_with=tf.function)
    assert values["nonfinite_count"] == 0
    for statistic in ("mean", "std", "rms", "norm", "min", "max", "zero_fraction"):
        assert np.isnan(values[statistic])


@pytest.mark.parametrize("name", ["normal", "large_mean", "huge", "rank_4"])
def test_merged_parts_equal_the_whole(name):
    x = TENSORS[name]
    merged, whole = reduced(*np.array_split(x, 3)), reduced(x)
    scale = reference(x)["rms"]
    for statistic, value in reference(x).items():
        slack = 1e-6 * scale if statistic == "mean" else 0.0
        for found in (merged, whole):
            assert found[statistic] == pytest.approx(value, rel=1e-5, abs=slack)


@pytest.mark.slow
@pytest.mark.parametrize("units", [1, 8, 64])
def test_counts_are_exact_beyond_two_to_the_24(units):
    """Float32 cannot count further than 16,777,216."""
    x = np.ones((2**25 + 8 * units) // units * units, np.float32)
    x[::1001] = 0
    zeros = np.count_nonzero(x == 0)
    values = reduced(x.reshape(-1, units), projected_rows=0)
    assert values["zero_fraction"] * x.size == pytest.approx(zeros, abs=0.01)


def test_dead_fraction_counts_units_silent_over_the_batch():
    x = np.abs(NORMAL) + 0.1
    x[:, :6] = 0.0
    x[3, 6] = 0.0  # silent once, not dead
    assert reduced(x)["dead_fraction"] == pytest.approx(6 / 30)


@pytest.mark.parametrize("different", [1, 2, 17])
def test_distinct_units_counts_different_columns(different):
    columns = RNG.standard_normal((50, different)).astype(np.float32)
    x = columns[:, np.arange(40) % different]
    assert reduced(x)["distinct_units"] == different
    assert reduced(*np.array_split(x, 3))["distinct_units"] == different


def test_projections_of_parts_use_directions_of_their_own():
    """Units that change places between replicas are still two."""
    rows = np.array([[1.0, 0.0], [0.0, 1.0], [2.0, 3.0]], np.float32)
    assert reduced(rows, rows[:, ::-1])["distinct_units"] == 2


def test_a_part_without_rows_takes_no_part():
    rows = NORMAL[:5]
    values = reduced(rows[:0], rows, rows[:0])
    for name, value in reference(rows).items():
        assert values[name] == pytest.approx(value, rel=1e-5, abs=1e-6), name


def test_distinct_units_of_continuous_weights_are_all():
    x = RNG.standard_normal((300, 2000)).astype(np.float32) * 1e-12
    assert reduced(x)["distinct_units"] == 2000


def test_distinct_units_sees_a_last_bit_as_the_same_unit():
    x = np.repeat(RNG.standard_normal((64, 1)).astype(np.float32), 8, axis=1)
    x[:, 1] = np.nextafter(x[:, 1], np.float32(10))
    assert reduced(x)["distinct_units"] == 1
    x[:, 1] *= 1.01
    assert reduced(x)["distinct_units"] == 2


def test_zero_tensor_has_one_unit_and_it_is_dead():
    values = reduced(np.zeros((9, 4), np.float32))
    assert values["distinct_units"] == 1
    assert values["dead_fraction"] == 1


@pytest.mark.parametrize("rows", [1, 127, 1000])
def test_saturated_entries_are_those_beyond_the_limit(rows):
    x = RNG.standard_normal((rows, 12)).astype(np.float32) * 3
    limit = theory.saturation("tanh")
    values = reduced(x, counted_above=limit, projected_rows=0)
    expected = np.mean(1 - np.tanh(x.astype(np.float64)) ** 2 < 0.05)
    assert values["saturation_fraction"] == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e30])
def test_effective_rank_is_the_participation_ratio_of_the_covariance(scale):
    x = RNG.standard_normal((100, 5)) @ RNG.standard_normal((5, 60)) + 7
    x = (scale * x).astype(np.float32)
    spectrum = np.linalg.eigvalsh(np.cov(x.T.astype(np.float64) / scale))
    expected = spectrum.sum() ** 2 / (spectrum**2).sum()
    assert 1 < expected < 5
    found = reduced(x, ranked=True)["effective_rank"]
    assert found == pytest.approx(expected, rel=1e-4)


def test_effective_rank_takes_a_row_of_each_stretch():
    x = RNG.standard_normal((1285, 60)).astype(np.float32)
    stretch = 11  # the fewest that leave 128 or fewer
    number = np.arange(1285 // stretch)
    rows = stretch * number + (number * 0.6180339887 % 1 * stretch).astype(int)
    found = reduced(x, ranked=True)["effective_rank"]
    assert found == pytest.approx(
        reduced(x[rows], ranked=True)["effective_rank"], rel=1e-6
    )


def test_black_borders_of_images_hide_neither_rank_nor_units():
    x = np.zeros((64, 28, 28, 6), np.float32)
    x[:, 4:24, 4:24] = np.abs(RNG.standard_normal((64, 20, 20, 6)))
    values = reduced(x, ranked=True, projected_rows=1024)
    assert 2 < values["effective_rank"] <= 6
    assert values["distinct_units"] == 6


def test_effective_rank_of_equal_rows_is_not_defined():
    x = np.repeat(NORMAL[:1], 20, axis=0)
    assert np.isnan(reduced(x, ranked=True)["effective_rank"])


@pytest.mark.parametrize("length", [1, 7, 128, 200, 500])
def test_rms_by_time_step(length):
    x = RNG.standard_normal((4, length, 6)) * np.exp(-np.arange(length) / 50)[:, None]
    x = tf.constant(x, tf.float32)
    sums = stats.reduce([x], [stats.Reduction(timed=True)])["time"]
    (found,) = stats.rms_by_time(sums)
    columns = np.arange(length) * schema.TIME_STEPS // max(length, schema.TIME_STEPS)
    for column in range(schema.TIME_STEPS):
        steps = np.flatnonzero(columns == column)
        if steps.size:
            expected = np.sqrt(np.mean(x.numpy()[:, steps] ** 2))
            assert found[column] == pytest.approx(expected, rel=1e-5)
        else:
            assert np.isnan(found[column])


UPDATES = {"nothing": (0.0, 0.0), "tenth": (0.1, 0.1), "from_zero": (1.0, np.inf)}


@pytest.mark.parametrize("case", UPDATES)
def test_update_to_weight_ratio(case):
    scale, expected = UPDATES[case]
    weight = 0.0 * NORMAL if case == "from_zero" else NORMAL
    tensors = [tf.constant(weight), tf.constant(np.float32(scale) * NORMAL)]
    scalars = stats.reduce(tensors, [stats.Reduction()] * 2)["scalars"].numpy()
    layout = stats.Layout.of_moments(2)._replace(weights=np.array([-1, 0]))
    values = stats.finalize(scalars, layout)
    ratio = values[:, list(schema.STATISTICS).index("update_to_weight_ratio")]
    assert np.isnan(ratio[0])
    assert ratio[1] == pytest.approx(expected, rel=1e-6)


def small_and_large():
    large = RNG.standard_normal((600, 512)).astype(np.float32)
    broken = large.copy()
    broken[5, 5] = np.inf
    return [NORMAL, large, TENSORS["huge"], 1000 + 0.1 * large, broken, NORMAL[:1]]


@pytest.mark.parametrize("mode", MODES)
def test_large_tensors_keep_their_places_among_small_ones(mode):
    tensors = small_and_large()

    def reduce_all(*tensors):
        reductions = [stats.Reduction()] * len(tensors)
        wanted = tf.constant(True)
        return stats.reduce(list(tensors), reductions, wanted, mode == "xla")

    together = MODES[mode](reduce_all)(*map(tf.convert_to_tensor, tensors))
    for number, tensor in enumerate(tensors):
        alone = stats.reduce(
            [tf.convert_to_tensor(tensor)], [stats.Reduction()], tf.constant(True)
        )
        counts = together["histogram"][number]
        np.testing.assert_array_equal(counts, alone["histogram"][0])
        found, expected = together["scalars"][number], alone["scalars"][0]
        # A mean is as exact as its values are large: it may cancel to nearly nothing.
        mean = stats.PARTIALS.index("mean")
        exact = 1e-6 * np.median(np.abs(tensor))
        np.testing.assert_allclose(found[mean], expected[mean], rtol=1e-5, atol=exact)
        np.testing.assert_allclose(
            np.delete(found, mean), np.delete(expected, mean), rtol=1e-5
        )
    mean, m2 = together["scalars"].numpy()[3, 1:3]
    np.testing.assert_allclose(mean, tensors[3].astype(np.float64).mean(), rtol=1e-6)
    np.testing.assert_allclose(m2, tensors[3].var(dtype=np.float64) * 307200, rtol=1e-5)


def test_no_condition_on_all_tensors_keeps_a_large_one():
    """What a condition may read stays in memory until its answer is known."""
    spec = [tf.TensorSpec([None, 64, 64]), tf.TensorSpec([None, 8])]

    @tf.function(input_signature=spec)
    def step(large, small):
        reductions = [stats.Reduction(0, 16, 0, True)] * 2
        return stats.reduce([large, small], reductions, tf.constant(True) & True)

    graph = step.get_concrete_function().graph
    behind, seen = [op for op in graph.get_operations() if "If" in op.type], set()
    assert len(behind) == 3  # entries copied, care taken, values counted
    while behind:
        op = behind.pop()
        seen.add(op.name)
        behind += [x.op for x in op.inputs if x.op.name not in seen]
    large, small = (tensor.op.name for tensor in graph.inputs)
    assert small in seen
    assert large not in seen


def alike():
    """Tensors of like shape, most of one length, among others."""
    rng = np.random.default_rng(0)
    rows = [rng.standard_normal((n, 16)).astype(np.float32) for n in (40, 40, 7, 0, 40)]
    rows[1] = np.maximum(rows[1], 0)
    rows[4] += 1000
    broken = rng.standard_normal((2, 40, 16)).astype(np.float32)
    broken[0, 3, 2] = np.nan
    broken[1, 0, :2] = np.inf, -np.inf
    infinite = [np.full((6, 16), np.inf, np.float32) * sign for sign in (1, -1)]
    nothing = [np.zeros(shape, np.float32) for shape in ((2, 0, 0), (4, 0), (2, 0, 8))]
    half = [x.astype(np.float16) for x in rows]
    sequences = [rng.standard_normal((4, t, 8)).astype(np.float32) for t in (5, 9)]
    many = [rng.standard_normal((n, 16)).astype(np.float32) for n in (900, 1800)]
    biases = [np.full(16, 0.1, np.float32), np.zeros(16, np.float32)]
    long = [rng.standard_normal((17000, n)).astype(np.float32) for n in (2, 7)]
    ones = [*rows, *broken, *infinite, *nothing, *half, *sequences, *many, *biases]
    return [*ones, *long, NORMAL]


def reduction_of(x):
    layered = x.ndim > 1
    rows = 16384 if len(x) == 17000 else 1024
    return stats.Reduction(0, rows * layered, 0, layered, x.ndim == 3)


@pytest.mark.parametrize("mode", ["eager", "graph"])
def test_tensors_that_are_reduced_together_change_nothing_of_each_other(mode):
    tensors = 4 * alike()
    assert len(tensors) > stats.partials._MANY
    reductions = [reduction_of(x) for x in tensors]
    spec = [
        tf.TensorSpec([None] * (x.ndim - 1) + [x.shape[-1]], x.dtype) for x in tensors
    ]
    function = functools.partial(stats.reduce, reductions=reductions)
    wanted = tf.constant(True)

    def together(*tensors):
        return function(list(tensors), histograms=wanted)

    if mode == "graph":
        together = tf.function(together, input_signature=spec)
    found = together(*map(tf.constant, tensors))
    expected = stats.joined(
        [
            stats.reduce([tf.constant(x)], [reduction], wanted)
            for x, reduction in zip(tensors, reductions, strict=True)
        ]
    )
    assert found.keys() == expected.keys()
    for name in ("counts", "histogram"):
        np.testing.assert_array_equal(found[name], expected[name])
    for name in ("projections", "time"):
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-5, atol=1e-4)
    layout = stats.Layout.of_moments(len(tensors))
    finished = [
        stats.finalize(one["scalars"].numpy(), layout) for one in (found, expected)
    ]
    np.testing.assert_allclose(*finished, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("gathered", [None, tf.identity], ids=["one", "replicas"])
def test_a_long_weight_of_a_small_model_is_sampled(gathered):
    x = RNG.standard_normal((16385, 8)).astype(np.float32)
    reduction = stats.Reduction(0, 16384)

    @tf.function
    def step(x):
        return stats.reduce([x], [reduction], gathered=gathered)["projections"]

    assert step(x).shape == (2, 8)
    np.testing.assert_array_equal(
        step(x), stats.reduce([tf.constant(x)], [reduction])["projections"]
    )


def test_tapes_do_not_see_what_is_reduced_eagerly():
    tensors = [tf.Variable(x) for x in [NORMAL] * 70]
    with tf.GradientTape() as tape:
        values = [tf.convert_to_tensor(x) for x in tensors]
        reduced = stats.reduce(values, [stats.Reduction()] * 70)["scalars"]
    assert tape.gradient(reduced, tensors[0]) is None


def vectors():
    """Vectors of a few lengths, with what takes care among them, and a matrix."""
    healthy = [RNG.standard_normal(16).astype(np.float32) for _ in range(3)]
    broken, infinite = healthy[0].copy(), healthy[1].copy()
    broken[3], infinite[5] = np.nan, np.inf
    odd = [np.zeros(16), 1e6 + healthy[0], 1e30 * healthy[1], [0.0, -0.0] * 8]
    others = [healthy[0][:1], healthy[0][:0], NORMAL, healthy[1].astype(np.float16)]
    return [np.asarray(x) for x in [*healthy, broken, infinite, *odd, *others]]


@pytest.mark.parametrize("mode", MODES)
def test_vectors_of_one_length_change_nothing_of_each_other(mode):
    given = [x if x.dtype == np.float16 else x.astype(np.float32) for x in vectors()]

    def reduce_all(*tensors):
        reductions = [stats.Reduction(counted_above=0)] * len(tensors)
        compiled = mode == "xla"
        return stats.reduce(list(tensors), reductions, tf.constant(True), compiled)

    found = MODES[mode](reduce_all)(*map(tf.constant, given))
    ends = np.cumsum([x.shape[-1] for x in given])
    counts = np.split(found["counts"].numpy(), ends[:-1])
    for x, row, count, bins in zip(
        given, found["scalars"].numpy(), counts, found["histogram"].numpy(), strict=True
    ):
        np.testing.assert_array_equal(count, np.count_nonzero(np.atleast_2d(x), axis=0))
        assert bins.sum() == x.size
        assert bins[[0, 1024]].sum() == np.count_nonzero(x == 0)
        found_of = dict(zip(stats.PARTIALS, row, strict=True))
        assert found_of["count"] == x.size
        assert found_of["nonfinite"] == np.count_nonzero(~np.isfinite(x))
        if x.size and np.isfinite(x).all():
            exact = x.astype(np.float64)
            std = np.sqrt(found_of["m2"] / x.size)
            slack = 1e-6 * np.sqrt(np.mean(exact**2))
            assert std == pytest.approx(exact.std(), rel=1e-5)
            assert found_of["mean"] == pytest.approx(exact.mean(), rel=1e-5, abs=slack)
            assert (found_of["min"], found_of["max"]) == (x.min(), x.max())
        elif np.isnan(x).any():
            assert np.isnan([found_of[name] for name in ("mean", "m2", "min")]).all()


def test_a_vector_is_ranked_as_any_tensor():
    """A vector is one row, which has no spread: 0/0."""
    tensors = [tf.range(16.0), tf.constant(NORMAL), tf.range(16.0)]
    reductions = [stats.Reduction(ranked=True)] * 2 + [stats.Reduction()]
    found = stats.reduce(tensors, reductions)["scalars"].numpy()
    spread = found[:, stats.PARTIALS.index("gram_trace")]
    assert (spread[0], spread[2]) == (0.0, -1.0)
    assert spread[1] > 0


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_tensors_are_compared_with_what_they_were_at_first(mode, dtype):
    tensors = [tf.constant(NORMAL + i, dtype) for i in range(3)]
    initial = [tf.constant(0.5 * NORMAL), None, tf.constant(NORMAL)]

    def of(*tensors):
        reductions = [stats.Reduction()] * 3
        return stats.reduce(
            list(tensors), reductions, compiled=mode == "xla", initial=initial
        )["moved"]

    moved = MODES[mode](of)(*tensors)
    expected = [
        np.linalg.norm(tensors[i].numpy().astype(np.float64) - initial[i].numpy())
        for i in (0, 2)
    ]
    assert moved.dtype == tf.float64
    np.testing.assert_allclose(moved, expected, rtol=1e-6)


def test_of_no_tensors_nothing_is_returned():
    assert stats.reduce([], []) == {}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("dtype", [tf.float32, tf.bfloat16])
def test_denormals_count_as_zero(dtype, mode):
    x = np.ones((6, 8), np.float32)
    x[0], x[1, :2], x[2] = 1e-39, np.nan, 2e-38

    def reduce_one(x):
        reduction = stats.Reduction(counted_above=0)
        return stats.reduce([x], [reduction], compiled=mode == "xla")["counts"]

    found = MODES[mode](reduce_one)(tf.cast(x, dtype))
    np.testing.assert_array_equal(found, np.full(8, 5))


def test_more_biases_take_hardly_more_operations():
    def ops(number):
        @tf.function(input_signature=[tf.TensorSpec([16])] * number)
        def step(*vectors):
            reductions = [stats.Reduction(counted_above=0)] * number
            return stats.reduce(list(vectors), reductions, tf.constant(True) & True)

        return len(step.get_concrete_function().graph.get_operations())

    # What remains is the vector that is given.
    assert ops(40) - ops(4) == 36


@pytest.mark.parametrize("length", [None, 5000])
def test_a_sample_has_a_row_of_each_stretch(length):
    """Which rows are read, whether their number is known when it is traced or not."""

    @tf.function(input_signature=[tf.TensorSpec([length, 8])])
    def products(x):
        reduction = stats.Reduction(projected_rows=1024)
        return stats.reduce([x], [reduction])["projections"]

    # Stretches of five rows, as 5000 / 1024 is not whole; a row shows what it adds.
    x = np.zeros((5000, 8), np.float32)
    read = []
    for row in range(40):
        x[row] = 1.0
        read.append(bool(np.any(products(x))))
        x[row] = 0.0
    assert [sum(read[i : i + 5]) for i in range(0, 40, 5)] == [1] * 8
