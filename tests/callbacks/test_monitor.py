"""`SignalMonitor` on real training: invisible, true, and nothing left behind."""

import copy
import re
import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_initkit as kik
from keras_initkit import schema
from keras_initkit.capture.tapping import collector as collecting
from keras_initkit.capture.twin import notes

RNG = np.random.default_rng(0)
X = RNG.standard_normal((96, 6)).astype(np.float32)
Y = RNG.integers(0, 3, 96)


def small_model(**compile_options):
    keras.utils.set_random_seed(3)
    inputs = keras.layers.Input((6,))
    x = keras.layers.Dense(8, activation="relu", name="first")(inputs)
    x = keras.layers.Dense(5, activation="tanh", name="second")(x)
    model = keras.Model(inputs, keras.layers.Dense(3, name="logits")(x), name="small")
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(
        **{"optimizer": keras.optimizers.SGD(0.1), "loss": loss, **compile_options}
    )
    return model


def fit(model, *monitors, x=X, y=Y, **options):
    options = {"batch_size": 16, "epochs": 2, "shuffle": False, **options}
    return model.fit(x, y, verbose=0, callbacks=list(monitors), **options)


def assert_same_weights(one, other):
    assert len(one.get_weights()) == len(other.get_weights())
    for a, b in zip(one.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


OPTIONS = {
    "plain": {},
    "steps_per_execution_4": {"steps_per_execution": 4},
    "eager": {"run_eagerly": True},
    "xla": {"jit_compile": True},
    "adam": {"optimizer": "adam", "metrics": ["accuracy"]},
    "momentum_clipped": {
        "optimizer": keras.optimizers.SGD(0.1, 0.9, global_clipnorm=0.5).get_config
    },
}


def options_of(name):
    options = dict(OPTIONS[name])
    if callable(options.get("optimizer")):
        options["optimizer"] = keras.optimizers.SGD.from_config(options["optimizer"]())
    return options


@pytest.mark.parametrize("name", OPTIONS)
def test_training_does_not_notice(name):
    bare, watched = small_model(**options_of(name)), small_model(**options_of(name))
    history = fit(bare)
    monitor = kik.SignalMonitor(None, every=5, histograms=1)
    watched_history = fit(watched, monitor)
    assert_same_weights(bare, watched)
    assert watched_history.history == history.history
    for signal in schema.SIGNALS:
        assert monitor.record.signal(signal).steps.tolist() == [0, 5, 10]
    assert monitor.record.histograms["weight"].steps.tolist() == [0, 5, 10]


@pytest.mark.parametrize("activation", ["tanh", "sigmoid", "elu", "relu", "gelu"])
@pytest.mark.parametrize("kind", ["dense", "convolution", "separate"])
def test_fused_kernels_stay_fused(kind, activation):
    """A reader between a bias and an activation would change the rounding."""

    def build():
        keras.utils.set_random_seed(1)
        inputs = x = keras.layers.Input((12, 12, 3))
        if kind == "convolution":
            x = keras.layers.Conv2D(8, 3, activation=activation)(x)
            x = keras.layers.Conv2D(8, 3)(x)
            x = keras.layers.Activation(activation)(x)
        x = keras.layers.Flatten()(x)
        if kind == "dense":
            x = keras.layers.Dense(32, activation=activation)(x)
        if kind == "separate":
            x = keras.layers.Dense(32)(x)
            x = keras.layers.Activation(activation)(x)
        model = keras.Model(inputs, keras.layers.Dense(2)(x))
        model.compile("sgd", "mse")
        return model

    x = RNG.standard_normal((64, 12, 12, 3)).astype(np.float32)
    y = RNG.standard_normal((64, 2)).astype(np.float32)
    bare, watched = build(), build()
    fit(bare, x=x, y=y, epochs=1)
    fit(watched, kik.SignalMonitor(None, every=1), x=x, y=y, epochs=1)
    assert_same_weights(bare, watched)


def statistics_in_float64(x):
    x = np.asarray(x, np.float64)
    return {
        "mean": x.mean(),
        "std": x.std(),
        "rms": np.sqrt(np.mean(x**2)),
        "norm": np.linalg.norm(x.ravel()),
        "min": x.min(),
        "max": x.max(),
        "zero_fraction": np.mean(x == 0),
        "nonfinite_count": 0,
    }


def assert_statistics(series, key, step, expected):
    row = series.values[series.steps.tolist().index(step), series.tensors.index(key)]
    values = dict(zip(series.statistics, row, strict=True))
    reference = statistics_in_float64(expected)
    for name, value in reference.items():
        if name in values:
            slack = 2e-6 * reference["rms"] if name == "mean" else 1e-12
            assert values[name] == pytest.approx(value, rel=1e-5, abs=slack), name


def test_values_are_those_of_the_step():
    """Every signal of the first step against a gradient tape of our own."""
    model = small_model()
    monitor = kik.SignalMonitor(None, every=1)
    layers = [model.get_layer(name) for name in ("first", "second", "logits")]
    before = {v.path: v.numpy() for v in model.trainable_variables}
    with tf.GradientTape(persistent=True) as tape:
        preactivations, outputs, x = [], [], tf.constant(X[:16])
        for layer in layers:
            z = x @ layer.kernel.value + layer.bias.value
            x = layer.activation(z)
            preactivations.append(z)
            outputs.append(x)
        loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(Y[:16], x))
    gradients = tape.gradient(loss, [v.value for v in model.trainable_variables])
    backprops = tape.gradient(loss, outputs)
    fit(model, monitor, x=X[:16], y=Y[:16], epochs=1)
    record = monitor.record
    for layer, z, y, dy in zip(layers, preactivations, outputs, backprops, strict=True):
        key = schema.TensorKey(layer.path, "output")
        assert_statistics(record.signal("activation"), key, 0, y)
        assert_statistics(record.signal("backprop"), key, 0, dy)
        if layer.name != "logits":
            assert_statistics(record.signal("preactivation"), key, 0, z)
    assert len(record.signal("preactivation").tensors) == 2
    for variable, gradient in zip(model.trainable_variables, gradients, strict=True):
        key = schema.TensorKey(*variable.path.rsplit("/", 1))
        old, new = before[variable.path], variable.numpy()
        assert_statistics(record.signal("weight"), key, 0, old)
        assert_statistics(record.signal("gradient"), key, 0, gradient)
        assert_statistics(record.signal("update"), key, 0, new - old)


def snapshot(model):
    """What could be left on a model: the attributes of its parts, by identity."""
    parts = [model, model.optimizer, *model._flatten_layers()]
    return [{name: id(value) for name, value in vars(part).items()} for part in parts]


def test_nothing_is_left_on_the_model():
    model = small_model()
    fit(model, epochs=1)
    before, function = snapshot(model), model.train_function
    fit(model, kik.SignalMonitor(None, every=1), epochs=1)
    after = snapshot(model)
    for one, other in zip(before, after, strict=True):
        changed = {
            name
            for name in one.keys() | other.keys()
            if one.get(name) != other.get(name)
        }
        # What a bare `fit` renews, too.
        assert changed <= {"history", "_compiled_trainable_state", "stop_training"}
    assert model.train_function is function


class Interruption(Exception):
    pass


@pytest.mark.parametrize(
    "where", ["on_train_batch_begin", "on_train_batch_end", "loss"]
)
def test_fit_that_raises_leaves_the_model_as_it_was(where):
    class Raising(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            if where == "on_train_batch_begin" and batch == 2:
                raise Interruption

        def on_train_batch_end(self, batch, logs=None):
            if where == "on_train_batch_end" and batch == 2:
                raise Interruption

    def loss(y, prediction):
        if where == "loss":
            raise Interruption
        return tf.reduce_mean(prediction**2)

    model = small_model(loss=loss, run_eagerly=where == "loss")
    calls = [layer.call for layer in model.layers]
    monitor = kik.SignalMonitor(None, every=1)
    with pytest.raises(Interruption):
        fit(model, monitor, Raising())
    for layer, call in zip(model.layers, calls, strict=True):
        assert "call" not in vars(layer)
        assert layer.call == call
    assert "apply" not in vars(model.optimizer)
    assert "train_step" not in vars(model)


def test_function_armed_for_a_fit_that_failed_is_called_off():
    class Raising(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            raise Interruption

    bare, model = small_model(), small_model()
    monitor = kik.SignalMonitor(None, every=1)
    with pytest.raises(Interruption):
        fit(model, monitor, Raising())
    for one in (bare, model):
        fit(one, epochs=1)
    assert_same_weights(bare, model)
    assert not monitor.record.series
    with pytest.raises(Interruption):
        fit(model, monitor, Raising())
    monitor.on_train_end()
    fit(model, epochs=1)
    assert not monitor.record.series


def test_frozen_without_compiling_again_is_not_monitored_but_trained_as_ever():
    bare, model = small_model(), small_model()
    for one in (bare, model):
        fit(one, epochs=1)
        one.get_layer("first").trainable = False
    fit(bare, epochs=1)
    monitor = kik.SignalMonitor(None, every=1)
    with pytest.warns(UserWarning, match="does not monitor this `fit`"):
        fit(model, monitor, epochs=1)
    assert_same_weights(bare, model)
    model.compile("sgd", model.loss)
    fit(model, monitor, epochs=1)
    assert len(monitor.record.signal("weight").tensors) == 4


def test_logs_that_are_no_numbers_are_passed_over():
    class Model(keras.Model):
        def train_step(self, data):
            return {**super().train_step(data), "each": tf.ones([3])}

    inputs = keras.layers.Input((6,))
    model = Model(inputs, keras.layers.Dense(1)(inputs))
    model.compile("sgd", "mse")
    monitor = kik.SignalMonitor(None)
    fit(model, monitor, y=Y.astype("float32"))
    assert set(monitor.record.scalars) == {"loss", schema.OVERHEAD}


def test_model_with_an_optimizer_of_its_own_counts_batches():
    class Model(keras.Model):
        def train_step(self, data):
            x, y = data
            with tf.GradientTape() as tape:
                loss = tf.reduce_mean((self(x) - y[:, None]) ** 2)
            variables = self.trainable_variables
            self.own.apply(tape.gradient(loss, variables), variables)
            return {"loss": loss}

    inputs = keras.layers.Input((6,))
    model = Model(inputs, keras.layers.Dense(1, name="out")(inputs), name="own")
    model.compile()
    model.own = keras.optimizers.SGD(0.01)
    model.own.build(model.trainable_variables)
    monitor = kik.SignalMonitor(None, every=4)
    fit(model, monitor, y=Y.astype("float32"))
    for signal in ("activation", "gradient", "update"):
        assert monitor.record.signal(signal).steps.tolist() == [0, 4, 8]
    assert not monitor.record.metadata["untapped"]
    assert monitor.record.metadata["schedule"] == "every(4)"


def test_weights_that_no_optimizer_updates_are_told():
    class Model(keras.Model):
        def train_step(self, data):
            x, y = data
            with tf.GradientTape() as tape:
                loss = tf.reduce_mean((self(x) - y[:, None]) ** 2)
            variables = self.trainable_variables
            for v, g in zip(variables, tape.gradient(loss, variables), strict=True):
                v.assign_sub(0.01 * g)
            return {"loss": loss}

    inputs = keras.layers.Input((6,))
    model = Model(inputs, keras.layers.Dense(1, name="out")(inputs), name="own")
    model.compile()
    monitor = kik.SignalMonitor(None, every=4)
    fit(model, monitor, y=Y.astype("float32"))
    reason = "its weights: the model has no optimizer that applies their gradients"
    assert ["own", reason] in monitor.record.metadata["untapped"]


def test_output_that_no_gradient_reaches_is_named():
    inputs = keras.layers.Input((6,))
    steps = keras.layers.Reshape((3, 2))(inputs)
    whole, hidden, _ = keras.layers.LSTM(3, return_state=True, name="lstm")(steps)
    outputs = keras.layers.Dense(3)(keras.layers.Concatenate()([whole, hidden]))
    model = keras.Model(inputs, outputs)
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    monitor = kik.SignalMonitor(None, every=4)
    fit(model, monitor)
    untapped = monitor.record.metadata["untapped"]
    reason = "backprop: no gradient is propagated to its output_2"
    assert [reason for layer, reason in untapped if layer == "lstm"] == [reason]
    labels = [key.label for key in monitor.record.signal("backprop").tensors]
    assert {"lstm:output_0", "lstm:output_1"} <= set(labels)


def test_steps_that_begin_anew_go_to_a_series_of_their_own(tmp_path):
    model, monitor = small_model(), kik.SignalMonitor(tmp_path, every=4)
    fit(model, monitor, epochs=1)
    model.compile("sgd", model.loss)
    fit(model, monitor, epochs=1)
    loaded = kik.RunRecord.load(tmp_path)
    for record in (monitor.record, loaded):
        assert record.series["weight"].steps.tolist() == [0, 4]
        assert record.series["weight#1"].steps.tolist() == [0, 4]
        assert record.scalars["loss"][0] == [0, 4, 0, 4]
    assert loaded.metadata["run"] == kik.RunRecord.runs(tmp_path)[0].id


def test_another_model_is_another_run(tmp_path):
    monitor = kik.SignalMonitor(tmp_path, every=4)
    for _ in range(2):
        fit(small_model(), monitor, epochs=1)
    first, second = kik.RunRecord.runs(tmp_path)
    for run in (first, second):
        loaded = kik.RunRecord.load(tmp_path, run=run)
        assert not loaded.missing
        assert loaded.signal("weight").steps.tolist() == [0, 4]
        assert loaded.scalars["loss"][0] == [0, 4]


def test_copies_of_a_monitor_are_runs_of_their_own(tmp_path):
    monitor = kik.SignalMonitor(tmp_path, every=4)
    for _ in range(3):
        fit(small_model(), copy.deepcopy(monitor), epochs=1)
    assert len(kik.RunRecord.runs(tmp_path)) == 3


def test_histograms_go_only_to_who_wants_them():
    with_them = kik.SignalMonitor(None, every=3, histograms=1)
    without = kik.SignalMonitor(None, every=2, histograms=False)
    fit(small_model(), with_them, without)
    assert with_them.record.histograms["weight"].steps.tolist() == [0, 3, 6, 9]
    assert not without.record.histograms


def test_histograms_have_a_schedule_of_iterations_of_their_own():
    some = kik.schedules.first(7)
    monitor = kik.SignalMonitor(None, every=kik.schedules.every(3), histograms=some)
    fit(small_model(), monitor)
    assert monitor.record.signal("weight").steps.tolist() == [0, 3, 6, 9]
    assert monitor.record.histograms["weight"].steps.tolist() == [0, 3, 6]


def test_every_counts_optimizer_iterations_over_fits():
    model, monitor = small_model(), kik.SignalMonitor(None, every=4)
    fit(model, monitor, epochs=1)
    fit(model, monitor, epochs=1)
    assert monitor.record.signal("weight").steps.tolist() == [0, 4, 8]
    assert int(model.optimizer.iterations) == 12


def test_first_fit_runs_the_code_of_a_step_as_often_as_a_bare_one(monkeypatch):
    """State that the first trace makes is made by that very trace."""
    traced, original = [], keras.Model.train_step

    def train_step(self, data):
        traced.append(type(collecting.active()))
        return original(self, data)

    monkeypatch.setattr(keras.Model, "train_step", train_step)
    bare = small_model(optimizer="adam", metrics=["accuracy"])
    model = small_model(optimizer="adam", metrics=["accuracy"])
    fit(bare, epochs=1)
    of_bare = len(traced)
    traced.clear()
    fit(model, kik.SignalMonitor(None, every=4, histograms=False), epochs=1)
    assert traced == [notes.Notes] * of_bare
    # But for the number in an optimizer's name.
    one, other = (
        [v.path.partition("/")[2] for v in m.optimizer.variables] for m in (bare, model)
    )
    assert one == other
    assert_same_weights(bare, model)


def test_keras_need_not_wait_for_the_results_of_a_step():
    """With the callbacks of a batch's end on its own thread, as in a bare `fit`."""
    bare, watched = (
        keras.callbacks.CallbackList(callbacks, model=small_model())
        for callbacks in ([], [kik.SignalMonitor(None)])
    )
    assert watched._async_train == bare._async_train


def test_second_fit_traces_nothing_anew():
    model, monitor = small_model(), kik.SignalMonitor(None, every=4)
    fit(model, monitor, epochs=1)
    traced = []
    original = model.compute_loss
    model.compute_loss = lambda *a, **k: traced.append(1) or original(*a, **k)
    fit(model, monitor, epochs=1)
    assert not traced


def test_two_monitors_share_one_instrumented_step():
    bare, model = small_model(), small_model()
    fit(bare)
    first = kik.SignalMonitor(None, every=3, signals=("activation",), layers=["first"])
    second = kik.SignalMonitor(None, every=2, signals=("gradient",))
    fit(model, first, second)
    assert_same_weights(bare, model)
    assert first.record.signal("activation").steps.tolist() == [0, 3, 6, 9]
    assert second.record.signal("gradient").steps.tolist() == [0, 2, 4, 6, 8, 10]
    assert list(first.record.series) == ["activation"]
    assert [k.layer for k in first.record.signal("activation").tensors] == ["first"]
    assert len(second.record.signal("gradient").tensors) == 6


def test_layers_are_chosen_by_pattern_with_their_weights():
    monitor = kik.SignalMonitor(None, layers=["sec*", "logits"])
    fit(small_model(), monitor, epochs=1)
    assert {k.layer for k in monitor.record.signal("activation").tensors} == {
        "second",
        "logits",
    }
    assert {k.layer for k in monitor.record.signal("weight").tensors} == {
        "second",
        "logits",
    }


def test_log_directory_holds_what_the_record_holds(tmp_path):
    monitor = kik.SignalMonitor(tmp_path / "run", every=4)
    fit(small_model(), monitor)
    loaded = kik.RunRecord.load(tmp_path / "run")
    for name, series in monitor.record.series.items():
        np.testing.assert_array_equal(series.values, loaded.series[name].values)
    assert loaded.metadata == monitor.record.metadata
    assert loaded.scalars.keys() == {"loss", schema.OVERHEAD}


def test_unwritable_directory_costs_one_warning_and_no_training(tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    bare, model = small_model(), small_model()
    fit(bare)
    monitor = kik.SignalMonitor(blocked / "run", every=2)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        fit(model, monitor)
    ours = [w for w in caught if "SignalMonitor cannot write" in str(w.message)]
    assert len(ours) == 1
    assert_same_weights(bare, model)
    assert len(monitor.record.signal("weight")) == 6


def test_nan_everywhere_is_recorded():
    model = small_model()
    model.get_layer("second").kernel.assign(np.full((8, 5), np.nan))
    monitor = kik.SignalMonitor(None, histograms=1)
    fit(model, monitor, epochs=1)
    keys, counts = monitor.record.profile("activation", "nonfinite_count")
    found = dict(zip([key.layer for key in keys], counts, strict=True))
    assert found == {"first": 0, "second": 16 * 5, "logits": 16 * 3}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"every": 0}, "`every` must be a positive integer. Received: every=0"),
        (
            {"histograms": -1},
            "`histograms` must be a bool, a positive number of monitored steps, or a "
            "schedule. Received: histograms=-1",
        ),
        ({"signals": ()}, "Received: signals=()"),
    ],
)
def test_bad_arguments_are_refused_at_once(arguments, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        kik.SignalMonitor(None, **arguments)


def test_pattern_that_matches_nothing_names_the_layers():
    message = (
        "`layers` must name layers of the model or match some. Received: 'dense*', "
        "which matches none of"
    )
    with pytest.raises(ValueError, match=re.escape(message)):
        fit(small_model(), kik.SignalMonitor(None, layers=["dense*"]))
