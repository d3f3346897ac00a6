"""Programs that others write: watched they end at the bits of the bare ones."""

import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_initkit as kik

k = keras.layers
RNG = np.random.default_rng(0)
X = RNG.normal(size=(28, 4)).astype("float32")
Y = (X[:, :1] > 0).astype("float32")


def bits(model):
    """All state of a model and of its optimizer."""
    optimizer = getattr(model, "optimizer", None)
    variables = [*model.variables, *(optimizer.variables if optimizer else ())]
    return [np.asarray(variable.value).tobytes() for variable in variables]


def twice(build, train, **options):
    """Trains bare and watched from the same seed; returns both models, the monitor."""
    models = []
    for watched in (False, True):
        keras.utils.clear_session(free_memory=False)
        keras.utils.set_random_seed(1)
        monitor = kik.SignalMonitor(None, **{"every": 1, "rules": None, **options})
        model = build()
        train(model, [monitor] if watched else [])
        models.append(model)
    return (*models, monitor)


def same(build, train, **options):
    """Asserts that watching changes nothing; returns the monitor."""
    bare, watched, monitor = twice(build, train, **options)
    assert bits(bare) == bits(watched)
    assert not monitor.guard.failed
    return monitor


def mlp(optimizer="adam", loss="mse", **options):
    model = keras.Sequential(
        [k.Input((4,)), k.Dense(6, "relu", name="a"), k.Dense(1, name="b")]
    )
    if callable(optimizer):
        optimizer = optimizer()
    model.compile(optimizer, loss, **options)
    return model


def pairs():
    yield from zip(X.reshape(7, 4, 4), Y.reshape(7, 4, 1), strict=True)


SPECS = (tf.TensorSpec((None, 4)), tf.TensorSpec((None, 1)))
# Data of which nobody knows how much there is.
UNKNOWN = {
    "from_generator": lambda: tf.data.Dataset.from_generator(
        pairs, output_signature=SPECS
    ),
    "filter": lambda: (
        tf.data.Dataset.from_tensor_slices((X, Y)).filter(lambda x, y: True).batch(4)
    ),
    "generator": lambda: (pair for _ in range(4) for pair in pairs()),
}
SCHEDULE = keras.optimizers.schedules.ExponentialDecay


@pytest.mark.parametrize("data", UNKNOWN)
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"steps_per_execution": 3},
        {"run_eagerly": True},
        {"jit_compile": True},
    ],
    ids=str,
)
@pytest.mark.parametrize("every", [pytest.param(1, marks=pytest.mark.slow), 3])
@pytest.mark.filterwarnings("ignore:Your input ran out of data")
def test_running_out_of_data_counts_as_in_a_bare_fit(data, options, every):
    """Keras's graph step that finds no data counts an iteration all the same."""

    def build():
        rate = SCHEDULE(0.1, 4, 0.5)
        return mlp(lambda: keras.optimizers.Adam(rate), **options)

    def train(model, callbacks):
        options = {"verbose": 0, "shuffle": False, "callbacks": callbacks}
        if data == "generator":  # as long as four epochs
            options["steps_per_epoch"] = 7
        model.fit(UNKNOWN[data](), epochs=4, **options)

    monitor = same(build, train, every=every)
    series = list(monitor.record.series)
    assert len(series) == len(set(name.partition("#")[0] for name in series))
    steps = monitor.record.signal("gradient").steps.tolist()
    assert steps == sorted(set(steps))
    if every == 1:
        assert len(steps) == 28
    else:
        assert all(step % 3 == 0 for step in steps)
        assert len(steps) >= 7


class Own(keras.Model):
    """A model that trains itself, in ways that its `call` does not tell."""

    def __init__(self, feed=lambda data: data, call=None):
        super().__init__()
        self.net = keras.Sequential([k.Dense(4, "relu"), k.Dense(4)])
        self.feed = feed
        self.given = call
        self.tracker = keras.metrics.Mean("loss")

    @property
    def metrics(self):
        return [self.tracker]

    def train_step(self, data):
        with tf.GradientTape() as tape:
            given = self.feed(data)
            loss = tf.reduce_mean((self.net(given, training=True) - data) ** 2)
        weights = self.trainable_variables
        self.optimizer.apply(tape.gradient(loss, weights), weights)
        self.tracker.update_state(loss)
        return {"loss": self.tracker.result()}


class Calls(Own):
    def call(self, *args):
        if self.given is None:
            raise RuntimeError("not to be called")
        return self.given(self, *args)


class TakesTwo(Own):
    def call(self, first, second):
        return self.net(first) + second


OWN = {
    "no call": lambda: Own(),
    "call raises": lambda: Calls(),
    "call of two": lambda: TakesTwo(),
    "call of a key": lambda: Calls(call=lambda self, x: self.net(x["image"])),
    "half of the data": lambda: Own(lambda data: data[:, :2]),
    "more than the data": lambda: Own(lambda data: tf.concat([data, data], 1)),
    "another rank": lambda: Own(lambda data: tf.reshape(data, (-1, 2, 2))[:, 0]),
}


@pytest.mark.parametrize("name", OWN)
@pytest.mark.parametrize("options", [{}, {"run_eagerly": True}], ids=str)
def test_nothing_is_built_but_by_the_train_step_itself(name, options):
    def build():
        model = OWN[name]()
        model.compile("adam", **options)
        return model

    def train(model, callbacks):
        model.fit(X, batch_size=4, epochs=2, verbose=0, callbacks=callbacks)

    monitor = same(build, train)
    record = monitor.record
    assert record.signal("activation").steps.tolist() == list(range(14))
    layers = {key.layer for key in record.signal("activation").tensors}
    assert len(layers) == 2
    assert len(record.signal("gradient").tensors) == 4
    owners = {key.layer for key in record.signal("gradient").tensors}
    assert owners == layers  # under the names that the layers have when built
    assert record.roles()[next(iter(owners)), "kernel"] == "kernel"


def test_state_that_a_step_does_not_use_stays_unbuilt():
    class Other(Own):
        def train_step(self, data):
            with tf.GradientTape() as tape:
                loss = tf.reduce_mean((self.net(data) - data) ** 2)
            weights = self.trainable_variables
            self.own.apply(tape.gradient(loss, weights), weights)
            return {"loss": loss}

    def build():
        model = Other()
        model.compile("adam")
        model.own = keras.optimizers.SGD(0.1)
        return model

    def train(model, callbacks):
        model.fit(X, batch_size=4, verbose=0, callbacks=callbacks)

    bare, watched, monitor = twice(build, train)
    assert bare.optimizer.built == watched.optimizer.built
    assert bits(bare) == bits(watched)
    assert len(monitor.record.signal("update")) == 7


class Odd(k.Layer):
    """Gives what is no dense tensor of floats, and the sum of its input."""

    def __init__(self, make):
        super().__init__(name="odd")
        self.make = make

    def call(self, x):
        return self.make(x)


ODD = {
    "ragged": lambda x: tf.RaggedTensor.from_row_lengths(
        tf.reshape(x, (-1,)), tf.fill(tf.shape(x)[:1], x.shape[1])
    ),
    "sparse": tf.sparse.from_dense,
    "slices": lambda x: tf.IndexedSlices(x, tf.range(tf.shape(x)[0])),
    "unknown rank": lambda x: tf.py_function(lambda v: v, [x], tf.float32),
    "strings": tf.as_string,
    "none": lambda x: (x, None),
    "number an example": lambda x: tf.reduce_sum(x, axis=1),
}


@pytest.mark.parametrize("name", ODD)
@pytest.mark.parametrize("options", [{}, {"run_eagerly": True}], ids=str)
def test_outputs_of_any_kind_are_left_alone_or_reduced(name, options):
    class Model(keras.Model):
        def __init__(self):
            super().__init__()
            self.hidden = k.Dense(4, "relu")
            self.odd = Odd(ODD[name])
            self.head = k.Dense(1)

        def call(self, x):
            h = self.hidden(x)
            self.odd(h)
            return self.head(h)

    def build():
        model = Model()
        model.compile("adam", "mse", **options)
        return model

    def train(model, callbacks):
        model.fit(X[:27], Y[:27], batch_size=4, verbose=0, callbacks=callbacks)

    record = same(build, train).record
    untapped = dict(record.metadata["untapped"])
    if name in ("none", "number an example"):
        assert any("odd" in key.layer for key in record.signal("activation").tensors)
    else:
        assert any("odd" in layer for layer in untapped)
    assert len(record.signal("gradient")) == 7


@pytest.mark.parametrize("history", [True, False])
def test_a_loop_of_train_on_batch_with_callbacks_goes_on(history):
    def train(model, callbacks):
        together = keras.callbacks.CallbackList(
            callbacks, add_history=history, model=model
        )
        together.on_train_begin()
        for batch in range(6):
            together.on_train_batch_begin(batch)
            loss = model.train_on_batch(X, Y)
            together.on_train_batch_end(batch, {"loss": loss})
        together.on_train_end()

    def watched(model, callbacks):
        if not callbacks:
            train(model, callbacks)
            return
        with pytest.warns(UserWarning, match=r"recorded nothing.*`instrument`"):
            train(model, callbacks)

    same(mlp, watched)


class Extra(keras.callbacks.Callback):
    """Trains, tests and predicts a batch more from within `fit`."""

    def on_train_batch_begin(self, batch, logs=None):
        self.model.train_on_batch(X[:8], Y[:8])
        self.model.test_on_batch(X[:8], Y[:8])
        self.model.predict_on_batch(X[:8])


@pytest.mark.parametrize("last", [True, False])
def test_a_callback_may_train_a_batch_of_its_own(last):
    def train(model, callbacks):
        both = [Extra(), *callbacks] if last else [*callbacks, Extra()]
        model.fit(X, Y, batch_size=4, verbose=0, callbacks=both)

    record = same(mlp, train).record
    assert len(record.signal("gradient")) == 7


def test_a_refused_monitor_leaves_nothing_on_the_model():
    model = mlp()
    with pytest.raises(ValueError, match="`layers` must name layers"):
        model.fit(X, Y, verbose=0, callbacks=[kik.SignalMonitor(None, layers="typo")])
    monitor = kik.SignalMonitor(None, every=1)
    model.fit(X, Y, verbose=0, callbacks=[monitor])
    assert len(monitor.record.signal("gradient")) == 1


def test_a_layer_that_an_unbuilt_model_does_not_have_costs_the_watching_alone():
    def build():
        model = keras.Sequential([k.Dense(3), k.Dense(1)])
        model.compile("adam", "mse")
        return model

    def train(model, callbacks):
        if not callbacks:
            model.fit(X, Y, batch_size=4, verbose=0)
            return
        with pytest.warns(
            UserWarning, match="stops watching this training.*`layers` must"
        ):
            model.fit(X, Y, batch_size=4, verbose=0, callbacks=callbacks)

    bare, watched, monitor = twice(build, train, layers="typo")
    assert bits(bare) == bits(watched)
    assert not monitor.record.series


def test_one_monitor_twice_in_a_list_records_once():
    def train(model, callbacks):
        model.fit(X, Y, batch_size=4, verbose=0, callbacks=[*callbacks, *callbacks])

    record = same(mlp, train).record
    assert record.signal("gradient").steps.tolist() == list(range(7))
    assert list(record.series) == list(dict.fromkeys(record.series))


def raises(*_):
    raise RuntimeError("the user's own")


@pytest.mark.parametrize("argument", ["every", "histograms"])
def test_a_schedule_that_raises_costs_one_warning(argument):
    def train(model, callbacks):
        if not callbacks:
            model.fit(X, Y, batch_size=4, verbose=0)
            return
        with pytest.warns(UserWarning, match="RuntimeError: the user's own") as told:
            model.fit(X, Y, batch_size=4, verbose=0, callbacks=callbacks)
        assert len(told) == 1

    bare, watched, _ = twice(mlp, train, **{argument: raises})
    assert bits(bare) == bits(watched)


def test_a_function_of_findings_that_raises_costs_one_warning(recwarn):
    x = np.zeros_like(X)

    def train(model, callbacks):
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            model.fit(x, Y, batch_size=4, verbose=0, callbacks=callbacks)

    bare, watched, monitor = twice(mlp, train, rules="default", on_finding=raises)
    assert bits(bare) == bits(watched)
    assert monitor.guard.failed
    told = [str(one.message) for one in recwarn if "stops watching" in str(one.message)]
    assert len(told) == 1


LOGS = {
    "strings": {"loss": tf.constant(1.0), "note": tf.constant("fine")},
    "nested": {"loss": tf.constant(1.0), "parts": {"a": tf.constant(2.0)}},
    "ragged": {"loss": tf.constant(1.0), "r": tf.ragged.constant([[1.0], []])},
    "vector": {"loss": tf.constant(1.0), "v": tf.ones((3,))},
}


@pytest.mark.parametrize("name", LOGS)
def test_logs_of_a_train_step_may_be_anything(name):
    class Logs(keras.Sequential):
        def train_step(self, data):
            super().train_step(data)
            return dict(LOGS[name])

    def build():
        model = Logs([k.Input((4,)), k.Dense(1)])
        model.compile("adam", "mse")
        return model

    def train(model, callbacks):
        for x, y in pairs():
            model.fit(x, y, verbose=0, callbacks=callbacks)

    record = same(build, train).record
    assert record.scalars["loss"][1] == [1.0] * 7


def outputs_without_their_metric():
    inputs = keras.Input((4,))
    a, b = k.Dense(1, name="a")(inputs), k.Dense(1, name="b")(inputs)
    model = keras.Model(inputs, [a, b])
    model.compile("sgd", ["mse", "mse"], metrics={"c": ["mae"]})
    return model


def outputs_of_another_structure():
    inputs = keras.Input((4,))
    a, b = k.Dense(1, name="a")(inputs), k.Dense(1, name="b")(inputs)
    model = keras.Model(inputs, (a, b))
    model.compile("sgd", {"a": "mse", "c": "mse"})
    return model


@pytest.mark.filterwarnings("ignore:SignalMonitor stops watching")
@pytest.mark.parametrize(
    "build", [outputs_without_their_metric, outputs_of_another_structure]
)
def test_a_step_that_raises_raises_what_it_does_bare(build):
    def raised(*monitors):
        with pytest.raises(
            (KeyError, ValueError), match=r"output|tuple|keys"
        ) as caught:
            build().fit(X, [Y, Y], verbose=0, callbacks=list(monitors))
        return caught.type, str(caught.value)

    assert raised(kik.SignalMonitor(None, every=1)) == raised()
