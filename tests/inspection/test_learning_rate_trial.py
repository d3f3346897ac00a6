"""The learning rate, tried: what is proposed, when nothing is, and what is left."""

import math
import random
import re

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_initkit as kik
from keras_initkit.inspection import _learning_rate_trial as trial_module
from keras_initkit.inspection import trial_data, trial_verdict

k = keras.layers
RNG = np.random.default_rng(0)
X = RNG.normal(size=(512, 8)).astype("float32")
Y = (X[:, :1] + X[:, 1:2] * X[:, 2:3] > 0).astype("int32")


def mlp(optimizer="adam", hidden=(), loss="binary_crossentropy", **compiled):
    keras.utils.set_random_seed(0)
    stack = hidden or (k.Dense(32, "relu", kernel_initializer="he_normal"),)
    model = keras.Sequential([k.Input((8,)), *stack, k.Dense(1, "sigmoid")])
    model.compile(optimizer, loss, **compiled)
    return model


def state_of(model):
    optimizer = getattr(model, "optimizer", None)
    held = [*model.variables, *model.metrics_variables]
    held += [] if optimizer is None else optimizer.variables
    for layer in model._flatten_layers():
        seeds = getattr(layer, "seed_generator", None)
        held += [] if seeds is None else [seeds.state]
    return [np.array(keras.ops.convert_to_numpy(one)) for one in held]


def assert_same(before, after):
    assert len(before) == len(after)
    for one, other in zip(before, after, strict=True):
        np.testing.assert_array_equal(one, other)


# What it says.


def test_a_sane_model_gets_a_rate_in_the_range_that_learns():
    trial = kik.learning_rate_trial(mlp(), X, Y)
    assert 5 < len(trial.tried) <= 12
    # Rates above two that lose far more than no step are left out.
    assert [one.loss > trial.start for one in trial.tried[-2:]] == [True, True]
    assert trial.rate == pytest.approx(1e-3)
    assert sum(one.rate == trial.rate for one in trial.tried) == 1
    assert trial.reason is None
    assert trial.low <= trial.proposal <= trial.high
    assert 3e-3 < trial.proposal < 1  # five steps of Adam want more than 200 do
    best = min((one for one in trial.tried if one.learns), key=lambda one: one.loss)
    assert best.loss < min(trial.start, trial.constant)
    assert best.loss < best.other_loss


SICK = {
    "zero kernels": lambda: mlp(
        hidden=[k.Dense(32, "relu", kernel_initializer="zeros") for _ in range(2)]
    ),
    "exploding": lambda: mlp(
        hidden=[k.Dense(64, "relu", kernel_initializer="ones") for _ in range(4)]
    ),
    "dead": lambda: mlp(
        hidden=[
            k.Dense(32, "relu", bias_initializer=keras.initializers.Constant(-50.0))
        ]
    ),
    "depth 30": lambda: mlp(hidden=[k.Dense(16, "relu") for _ in range(30)]),
}


@pytest.mark.parametrize("name", SICK)
def test_a_sick_model_gets_no_rate(name):
    trial = kik.learning_rate_trial(SICK[name](), X, Y)
    assert trial.proposal is trial.low is trial.high is None
    assert trial.reason
    assert not any(one.learns for one in trial.tried)
    assert "Fix the weights first" in str(trial)


def test_targets_that_do_not_belong_to_the_inputs_get_no_rate():
    y = np.random.default_rng(1).integers(0, 2, (512, 1))
    assert kik.learning_rate_trial(mlp(), X, y).proposal is None


def test_nan_in_the_weights_is_told():
    model = mlp()
    model.layers[-1].kernel.assign(np.full((32, 1), np.nan))
    trial = kik.learning_rate_trial(model, X, Y)
    assert trial.reason == "the loss at the current weights is nan"
    assert trial.to_dict()["start"] is None
    str(trial)


def test_frozen_weights_are_told():
    model = mlp()
    model.trainable = False
    model.compile("adam", "binary_crossentropy")
    with pytest.raises(ValueError, match=r"`model` must have trainable weights"):
        kik.learning_rate_trial(model, X, Y)


# How it judges.


def losses(own, other, scatter=0.01, batches=8):
    """Losses of each batch's outputs against each batch's targets."""
    rng = np.random.default_rng(3)
    found = np.full((batches, batches), other, float)
    np.fill_diagonal(found, own)
    return found + scatter * rng.normal(size=found.shape)


RATES = np.array([1e-4, 1e-3, 1e-2, 1e-1, 1.0])


def judged(pairs, start=(2.3, 2.3), constant=None):
    curve = np.stack([losses(own, other) for own, other in pairs])
    return trial_verdict.verdict(RATES, curve, losses(*start), constant)


def test_verdict_takes_one_rate_below_the_best():
    pairs = [(2.28, 2.3), (2.0, 2.4), (1.5, 2.6), (1.2, 3.0), (9.0, 9.0)]
    found = judged(pairs)
    assert (found.low, found.proposal, found.high) == (1e-3, 1e-2, 1e-1)
    assert [one.learns for one in found.tried] == [False, True, True, True, False]


def test_a_loss_that_falls_by_falling_silent_is_no_learning():
    # From 247 down to that of a constant guess.
    pairs = [(247, 247), (200, 200), (20, 20), (2.31, 2.31), (2.305, 2.305)]
    found = judged(pairs, start=(247, 247))
    assert found.proposal is None
    assert "does not reflect the inputs" in found.reason or "constant" in found.reason


def test_learning_far_above_a_constant_guess_is_no_learning():
    pairs = [(240, 250), (200, 230), (100, 150), (60, 80), (90, 95)]
    assert judged(pairs, start=(247, 247)).proposal is not None  # it is not known
    assert "2.303 of a constant guess" in judged(pairs, (247, 247), 2.303).reason


def test_without_any_change_that_is_told():
    found = trial_verdict.verdict(RATES, np.full((5, 8, 8), 0.7), np.full((8, 8), 0.7))
    assert found.reason == "no rate moves the loss from 0.7"


def test_nan_at_all_rates_is_told():
    curve = np.full((5, 8, 8), np.nan)
    found = trial_verdict.verdict(RATES, curve, np.full((8, 8), 0.7))
    assert "NaN or Inf" in found.reason


def test_a_gap_within_the_scatter_of_the_batches_is_no_learning():
    def found(scatter):
        apart = np.diag(np.resize([scatter, -scatter], 8))
        curve = np.stack([losses(2.2, 2.3) + apart] * 5)
        return trial_verdict.verdict(RATES, curve, losses(2.4, 2.4))

    assert found(0.01).proposal is not None
    assert found(0.5).proposal is None
    assert "does not reflect the inputs" in found(0.5).reason


def test_rates_are_hopeless_by_more_than_chance():
    start, chance, bad, nan = (losses(one, one) for one in (2.3, 2.32, 2.6, math.nan))
    assert not trial_verdict.is_hopeless([start, chance, chance])
    assert not trial_verdict.is_hopeless([start, bad])
    assert not trial_verdict.is_hopeless([start, bad, nan, chance])
    assert trial_verdict.is_hopeless([start, chance, bad, nan])


def test_harder_batches_are_no_scatter():
    # Targets and inputs of some batches are harder by far more than what is learnt.
    harder = 5 * np.random.default_rng(4).normal(size=(2, 8))
    apart = harder[0][:, None] + harder[1][None]
    curve = np.stack([losses(2.0, 2.4) + apart] * 5)
    found = trial_verdict.verdict(RATES, curve, losses(2.3, 2.3) + apart)
    assert all(one.learns for one in found.tried)


# What it leaves.


class OwnStep(keras.Model):
    """A model with a train step, and a metric, of its own."""

    def __init__(self):
        super().__init__()
        self.dense = k.Dense(1, "sigmoid")
        self.mean = keras.metrics.Mean(name="mine")
        self.calls = 0

    def call(self, x):
        return self.dense(x)

    def train_step(self, data):
        x, y, *_ = data
        self.calls += 1
        with tf.GradientTape() as tape:
            loss = self.compute_loss(y=y, y_pred=self(x, training=True))
        weights = self.trainable_variables
        self.optimizer.apply(tape.gradient(loss, weights), weights)
        self.mean.update_state(loss)
        return {"mine": self.mean.result()}


def own_step():
    keras.utils.set_random_seed(0)
    model = OwnStep()
    model.compile("sgd", "binary_crossentropy")
    model(X[:1])
    return model


def noisy():
    keras.utils.set_random_seed(1)
    return [
        k.Dense(16),
        k.BatchNormalization(),
        k.Activation("relu"),
        k.Dropout(0.5),
        k.GaussianNoise(0.1),
    ]


KINDS = {
    "noise": lambda: mlp(hidden=noisy()),
    "metrics": lambda: mlp(metrics=["accuracy", keras.metrics.AUC()]),
    "momentum": lambda: mlp(keras.optimizers.SGD(0.1, momentum=0.9)),
    "average": lambda: mlp(
        keras.optimizers.Adam(use_ema=True, ema_overwrite_frequency=2)
    ),
    "accumulation": lambda: mlp(
        keras.optimizers.Adam(gradient_accumulation_steps=2), hidden=noisy()
    ),
    "schedule": lambda: mlp(
        keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(1e-3, 100))
    ),
    "function": lambda: mlp(keras.optimizers.Adam(lambda: 1e-3)),
    "loss scale": lambda: mlp(
        keras.optimizers.LossScaleOptimizer(keras.optimizers.Adam())
    ),
    "weight decay": lambda: mlp(keras.optimizers.AdamW(1e-3, weight_decay=0.1)),
    "eager": lambda: mlp(hidden=noisy(), run_eagerly=True),
    "compiled by XLA": lambda: mlp(jit_compile=True),
    "several steps": lambda: mlp(hidden=noisy(), steps_per_execution=4),
    "train step": own_step,
}


SLOW = pytest.mark.slow
NEW = ("noise", "metrics", "loss scale", "train step")


@pytest.mark.parametrize(
    ("name", "fitted"),
    [
        *((name, True) for name in KINDS),
        *(pytest.param(name, False, marks=SLOW) for name in NEW),
    ],
)
def test_the_model_is_left_as_it_was(name, fitted):
    model = KINDS[name]()
    if fitted:
        model.fit(X[:96], Y[:96], batch_size=32, verbose=0)
    before, held = state_of(model), set(vars(model))
    optimizer, function = model.optimizer, model.train_function
    rate = vars(optimizer).get("_learning_rate")
    built = optimizer.built
    trial = kik.learning_rate_trial(model, X, Y)
    assert_same(before, state_of(model))
    assert set(vars(model)) == held
    assert model.optimizer is optimizer
    assert optimizer.built == built
    assert vars(optimizer).get("_learning_rate") is rate
    assert model.train_function is function
    assert getattr(model, "calls", 0) == (1 if fitted and name == "train step" else 0)
    assert trial.reason is None, trial


@pytest.mark.parametrize("name", ["noise", "momentum", "accumulation", "loss scale"])
def test_training_goes_on_as_if_nothing_had_been_tried(name):
    models = [KINDS[name]() for _ in range(2)]
    for number, model in enumerate(models):
        model.fit(X[:64], Y[:64], batch_size=32, shuffle=False, verbose=0)
        if number:
            kik.learning_rate_trial(model, X, Y)
        model.fit(X[:64], Y[:64], batch_size=32, shuffle=False, verbose=0)
    assert_same(state_of(models[0]), state_of(models[1]))


def test_fit_is_not_traced_again():
    traces = []

    class Counting(k.Layer):
        def call(self, x):
            traces.append(1)
            return x

    model = mlp(hidden=(k.Dense(8, "relu"), Counting()))
    model.fit(X[:64], Y[:64], batch_size=32, verbose=0)
    kik.learning_rate_trial(model, X, Y)
    count = len(traces)
    model.fit(X[:64], Y[:64], batch_size=32, verbose=0)
    assert len(traces) == count


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
@pytest.mark.parametrize("at", [7, *(pytest.param(n, marks=SLOW) for n in (1, 30))])
def test_the_model_is_left_as_it_was_when_something_raises(error, at):
    class Failing(k.Layer):
        def call(self, x):
            calls.append(1)
            if len(calls) == at:
                raise error("stop")
            return x

    calls = [1] * 99  # not while it is built
    model = mlp(hidden=[*noisy(), Failing()], run_eagerly=True, metrics=["accuracy"])
    calls.clear()
    before, held = state_of(model), set(vars(model))
    optimizer = model.optimizer
    with pytest.raises((error, ValueError)):
        kik.learning_rate_trial(model, X, Y)
    assert len(calls) == at
    assert_same(before, state_of(model))
    assert set(vars(model)) == held
    assert model.optimizer is optimizer


def test_global_generators_are_left_as_they_were():
    model = mlp(hidden=noisy())

    def drawn(between):
        keras.utils.set_random_seed(3)
        between()
        numbers = np.random.random(3)  # noqa: NPY002 (the global generator is meant)
        return *numbers, random.random(), *tf.random.normal((3,)).numpy()

    assert drawn(lambda: kik.learning_rate_trial(model, X, Y)) == drawn(lambda: None)


def test_rates_see_the_same_batches_and_draws(monkeypatch):
    monkeypatch.setattr(trial_module, "_rates", lambda present: (1e-2,) * 3)
    trial = kik.learning_rate_trial(KINDS["noise"](), X, Y)
    assert len(set(trial.tried)) == 1
    assert trial.tried[0].loss != trial.start


# Optimizers.


def test_accumulation_takes_as_many_steps_of_the_optimizer():
    # Without accumulation, the same gradients come from batches twice as large.
    plain = mlp(keras.optimizers.SGD(0.01))
    summed = mlp(keras.optimizers.SGD(0.01, gradient_accumulation_steps=2))
    data = trial_data.batches(X, Y, 10, 16)
    pairs = zip(data.steps[::2], data.steps[1::2], strict=True)
    double = [
        (tf.concat([x, more], 0), tf.concat([y, others], 0), None)
        for (x, y, _), (more, others, _) in pairs
    ]
    one = trial_module._measured(summed, data, (0.1,))
    two = trial_module._measured(plain, data._replace(steps=double), (0.1,))
    np.testing.assert_allclose(one, two, rtol=1e-5)


def test_a_loss_scale_that_skips_all_steps_is_told():
    scaled = keras.optimizers.LossScaleOptimizer(
        keras.optimizers.Adam(), initial_scale=1e38
    )
    model = mlp(scaled)
    trial = kik.learning_rate_trial(model, X * 1e3, Y)
    assert trial.reason.startswith("no rate moves the loss")


def test_several_optimizers_are_refused_by_name():
    if not hasattr(keras.optimizers, "MultiOptimizer"):
        pytest.skip("this Keras has no MultiOptimizer")
    several = keras.optimizers.MultiOptimizer(
        keras.optimizers.OptimizerMap(keras.optimizers.Adam())
    )
    with pytest.raises(ValueError, match=r"a single learning rate.*MultiOptimizer"):
        kik.learning_rate_trial(mlp(several), X, Y)


def test_an_optimizer_that_cannot_be_copied_is_refused_by_name():
    class Own(keras.optimizers.SGD):
        def __init__(self, needed):
            super().__init__()

    with pytest.raises(
        ValueError, match=r"from_config`. Received: Own, which raised TypeError"
    ):
        kik.learning_rate_trial(mlp(Own(1)), X, Y)


# Data.


def test_data_may_come_as_data_set():
    arrays = kik.learning_rate_trial(mlp(), X, Y)
    data = tf.data.Dataset.from_tensor_slices((X, Y)).batch(32)

    class Batches(keras.utils.PyDataset):
        def __len__(self):
            return 16

        def __getitem__(self, n):
            return X[32 * n : 32 * n + 32], Y[32 * n : 32 * n + 32]

    given = [data, Batches(), iter(data), data.repeat()]
    trials = [kik.learning_rate_trial(mlp(), one) for one in given]
    assert len({one.tried for one in trials}) == 1
    assert trials[0].proposal == arrays.proposal


def test_no_step_sees_what_is_measured_on():
    x = np.arange(512.0).reshape(512, 1)
    data = trial_data.batches(x, x, 5, 32)
    stepped = {float(one) for x, _, _ in data.steps for one in np.ravel(x)}
    held = [float(one) for x, _, _ in data.measured for one in np.ravel(x)]
    assert len(stepped) == 160
    assert len(set(held)) == len(held) == 256
    assert not stepped & set(held)
    for x, y, _ in (*data.steps, *data.measured):
        np.testing.assert_array_equal(x, y)


@pytest.mark.parametrize("as_data_set", [False, True])
def test_steps_on_single_examples_are_measured_on_more(as_data_set):
    if as_data_set:
        given = tf.data.Dataset.from_tensor_slices((X, Y)).batch(1)
        data = trial_data.batches(given, None, 5, None)
    else:
        data = trial_data.batches(X, Y, 5, 1)
    assert [len(x) for x, _, _ in data.steps] == [1] * 5
    assert [len(x) for x, _, _ in data.measured] == [16] * 8
    held = {x.tobytes() for batch, _, _ in data.measured for x in batch.numpy()}
    assert not held & {x.numpy()[0].tobytes() for x, _, _ in data.steps}


def test_several_outputs_are_left_as_they_were_but_for_their_meters():
    inputs = k.Input((8,))
    outputs = {"one": k.Dense(1, "sigmoid", name="one")(inputs)}
    outputs["two"] = k.Dense(2, name="two")(inputs)
    model = keras.Model(inputs, outputs)
    model.compile("adam", {"one": "binary_crossentropy", "two": "mse"})
    y = {"one": Y, "two": X[:, :2]}
    before, meters = state_of(model), len(model.metrics_variables)
    assert kik.learning_rate_trial(model, X, y).reason is None
    # Keras makes a meter an output when the loss is first computed.
    new = model.metrics_variables[meters:]
    assert len(new) == 4
    assert not any(keras.ops.convert_to_numpy(v).any() for v in new)
    model.fit(X, y, verbose=0)
    before = state_of(model)
    kik.learning_rate_trial(model, X, y)
    assert_same(before, state_of(model))


@pytest.mark.parametrize("count", [8, 15, 16, 100])
def test_few_examples_are_enough(count):
    data = trial_data.batches(X[:count], Y[:count], 5, None)
    assert len(data.steps) == 5
    assert len(data.measured) == trial_data.MEASURED
    assert bool(data.notes) == (count < 2 * trial_data.MEASURED)
    assert math.isfinite(kik.learning_rate_trial(mlp(), X[:count], Y[:count]).start)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: kik.learning_rate_trial(mlp(), X[:7], Y[:7]), "at least 8"),
        (lambda: kik.learning_rate_trial(mlp(), X, Y[:9]), "same number of examples"),
        (
            lambda: kik.learning_rate_trial(mlp(), iter([(X, Y)]), batch_size=3),
            "`batch_size` must be omitted for a data set",
        ),
        (
            lambda: kik.learning_rate_trial(mlp(), X, Y, batch_size=0),
            "`batch_size` must be at least 1. Received: batch_size=0",
        ),
        (lambda: kik.learning_rate_trial(mlp(), iter([])), "an empty data set"),
        (
            lambda: kik.learning_rate_trial(
                mlp(), iter([(X[:8], Y[:8]), (X[:8, :3], Y[:8])])
            ),
            "pad sequences to one length",
        ),
        (
            lambda: kik.learning_rate_trial(mlp(), iter([(X, Y)]), Y),
            "`y` must be omitted for a data set",
        ),
        (lambda: kik.learning_rate_trial(mlp(loss=None), X, Y), "compute a loss by"),
        (
            lambda: kik.learning_rate_trial(keras.Sequential([k.Dense(1)]), X, Y),
            "must be compiled with an optimizer and a loss",
        ),
    ],
)
def test_what_cannot_be_tried_is_refused(call, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        call()


def test_a_model_that_is_not_built_is_built():
    model = keras.Sequential([k.Dense(1, "sigmoid")])
    model.compile("adam", "binary_crossentropy")
    assert kik.learning_rate_trial(model, X, Y).reason is None
    assert model.built


# How it looks.


def test_text_tells_the_rates_and_the_proposal():
    trial = kik.learning_rate_trial(mlp(), X, Y)
    lines = str(trial).splitlines()
    assert lines[0].startswith(
        f"Learning rate {trial.proposal:.2g}; in trials of 5 steps each, rates from"
    )
    assert sum("yours" in line for line in lines) == 1
    assert sum("proposed" in line for line in lines) == 1
    assert "proposed" in trial._repr_html_()
    content = trial.to_dict()
    assert content["proposal"] == trial.proposal
    assert content["tried"][0].keys() == {"rate", "loss", "other_loss", "learns"}


# In a diagnosis.


def deep(rate):
    keras.utils.set_random_seed(3)  # of one draw in eight, 0.1 does learn
    layers = [
        k.Dense(32, "relu", kernel_initializer="he_normal", name=f"h{n}")
        for n in range(12)
    ]
    return mlp(keras.optimizers.Adam(rate), hidden=layers)


def test_diagnosis_names_a_rate_that_the_depth_does_not_bear():
    found = kik.diagnose(deep(0.1), X, Y, trial=True)
    rules = {f.rule: f for f in found.findings}
    finding = rules["LearningRateTrial"]
    assert finding.severity == "warning"
    assert finding.threshold == found.trial.high < 0.1
    assert f"learning_rate = {found.trial.proposal:.2g}`" in finding.remedy
    assert found.trial.in_words() in str(found).replace("\n", " ")
    assert found.to_dict()["trial"]["proposal"] == found.trial.proposal
    # The remedy helps.
    mended = kik.diagnose(deep(found.trial.proposal), X, Y, trial=True)
    assert "LearningRateTrial" not in {f.rule for f in mended.findings}


def test_diagnosis_without_a_trial_says_nothing_of_it():
    found = kik.diagnose(deep(0.1), X, Y)
    assert found.trial is None
    reason = found.not_judged["LearningRateTrial"]
    assert reason == "does not hold facts/learning_rate_trial"


def test_diagnosis_tells_why_there_was_no_trial():
    model = keras.Sequential([k.Input((8,)), k.Dense(1, "sigmoid")])
    found = kik.diagnose(model, X, Y, trial=True)
    assert found.trial is None
    assert any(
        note.startswith("No learning rates were tried: that raised ValueError (`model`")
        for note in found.notes
    )


def test_diagnosis_leaves_the_model_as_it_was_after_a_trial():
    model = KINDS["noise"]()
    before = state_of(model)
    kik.diagnose(model, X, Y, trial=True)
    assert_same(before, state_of(model))


TWO_RATES_TOO_HIGH = {
    "deep": lambda rate: deep(rate),
    "momentum": lambda rate: mlp(keras.optimizers.SGD(rate, momentum=0.9)),
}


@pytest.mark.slow
@pytest.mark.parametrize(("name", "rate"), [("deep", 0.1), ("momentum", 30.0)])
def test_the_remedy_makes_a_training_that_fails_learn(name, rate):
    def accuracy(rate):
        model = TWO_RATES_TOO_HIGH[name](rate)
        model.fit(X, Y, epochs=30, batch_size=32, verbose=0)
        return np.mean((model.predict(X, verbose=0) > 0.5) == Y)

    trial = kik.learning_rate_trial(TWO_RATES_TOO_HIGH[name](rate), X, Y)
    assert trial.high < rate / 2
    assert accuracy(trial.proposal) > accuracy(rate) + 0.1
