"""What a step does because it was traced first, its watched twin does, too."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_initkit as kik
from keras_initkit.capture.twin import first_trace, notes

RNG = np.random.default_rng(0)
X = RNG.normal(size=(48, 4)).astype("float32")
Y = RNG.normal(size=(48, 1)).astype("float32")


class Anchored(keras.optimizers.SGD):
    """Makes no variable in `build`, but assigns one."""

    def __init__(self):
        super().__init__(0.05)
        self.anchor = self.add_variable((), name="anchor")

    def build(self, variables):
        super().build(variables)
        self.assign(self.anchor, keras.ops.convert_to_tensor(7.0))

    def update_step(self, gradient, variable, learning_rate):
        super().update_step(gradient, variable, learning_rate * self.anchor / 7.0)
        self.assign_add(self.anchor, 0.5)


class Own(keras.Model):
    """Has all its weights ahead of the first step."""

    def __init__(self):
        super().__init__(name="own")
        self.dense = keras.layers.Dense(1, name="dense")
        self.dense.build((None, 4))
        self.factor = self.add_weight(name="factor", initializer="ones")
        self.started = False
        self.steps = []

    def call(self, x):
        return self.dense(x) * self.factor

    def train_step(self, data):
        if self.is_first():
            self.factor.assign(self.factor * 1.5)
        return super().train_step(data)

    def is_first(self):
        """Whether the step is traced for the first time."""
        return False


class Flagged(Own):
    def is_first(self):
        first, self.started = not self.started, True
        return first


class Listing(Own):
    def is_first(self):
        self.steps.append(len(self.steps))
        return len(self.steps) == 1


def trained(build, monitors=(), fits=1, batch_size=8):
    keras.utils.clear_session(free_memory=False)
    keras.utils.set_random_seed(1)
    model = build()
    for _ in range(fits):
        model.fit(
            X,
            Y,
            batch_size=batch_size,
            epochs=2,
            shuffle=False,
            verbose=0,
            callbacks=list(monitors),
        )
    variables = [*model.variables, *model.optimizer.variables]
    return [np.asarray(variable).tobytes() for variable in variables]


def sgd():
    return keras.optimizers.SGD(0.05)


def compiled(model=Own, optimizer=Anchored, **options):
    def build():
        built = model()
        built.compile(optimizer(), "mse", **options)
        return built

    return build


def scaled():
    return keras.optimizers.LossScaleOptimizer(Anchored())


def late(step):
    return step >= 5


slow = pytest.mark.slow


@pytest.mark.parametrize("every", [1, pytest.param(3, marks=slow), late])
@pytest.mark.parametrize(
    "build",
    [
        pytest.param(compiled(), id="optimizer"),
        pytest.param(compiled(Flagged, sgd), id="flag"),
        pytest.param(compiled(Listing, sgd), id="list", marks=slow),
        pytest.param(compiled(run_eagerly=True), id="eager", marks=slow),
        pytest.param(compiled(jit_compile=True), id="xla", marks=slow),
        pytest.param(compiled(steps_per_execution=2), id="several", marks=slow),
        pytest.param(compiled(optimizer=scaled), id="inner_optimizer", marks=slow),
    ],
)
def test_a_twin_does_what_the_first_trace_did(build, every):
    monitor = kik.SignalMonitor(None, every=every, rules=None)
    assert trained(build, [monitor]) == trained(build)
    assert not monitor.guard.failed
    assert monitor.record.signal("update").steps.size


def test_a_second_fit_of_other_batches_is_traced_without_it():
    def training(*monitors):
        def build():
            model = compiled()()
            model.fit(X, Y, batch_size=8, verbose=0, callbacks=list(monitors))
            return model

        return trained(build, monitors, fits=2, batch_size=7)

    monitor = kik.SignalMonitor(None, every=2, rules=None)
    assert training(monitor) == training()
    assert not monitor.guard.failed


def closed():
    """A model that remembers in a closure only that a step was traced."""
    done = []

    class Closed(Own):
        def is_first(self):
            done.append(1)
            return len(done) == 1

    return compiled(Closed, sgd)()


def test_a_copy_does_what_only_a_closure_remembers():
    monitor = kik.SignalMonitor(None, every=2, rules=None)
    assert trained(closed, [monitor]) == trained(closed)
    assert len(monitor.record.signal("weight").steps) == 6


def test_what_only_a_closure_remembers_is_not_watched_by_python_and_told(monkeypatch):
    monkeypatch.setattr(notes.Notes, "is_whole", lambda self, graph: False)
    monitor = kik.SignalMonitor(None, every=2, rules=None)
    bare = trained(closed)
    with pytest.warns(UserWarning, match="does not change the same variables"):
        watched = trained(closed, [monitor])
    assert watched == bare
    assert not monitor.record.series


def test_attributes_are_as_the_first_trace_left_them():
    def attributes(*monitors):
        models = []

        def build():
            models.append(compiled(Flagged, Anchored)())
            return models[-1]

        trained(build, monitors)
        (model,) = models
        return model.started, vars(model).keys(), vars(model.optimizer).keys()

    monitor = kik.SignalMonitor(None, every=2, rules=None)
    assert attributes(monitor) == attributes()
    assert attributes()[0] is True


@pytest.mark.parametrize("every", [pytest.param(1, marks=pytest.mark.slow), 2])
def test_a_loop_of_ones_own_does_what_its_first_trace_did(every):
    def looped(monitor=None):
        keras.utils.clear_session(free_memory=False)
        keras.utils.set_random_seed(1)
        model, optimizer = Own(), Anchored()
        model(X[:8])

        @tf.function
        def step(x, y):
            with tf.GradientTape() as tape:
                loss = tf.reduce_mean((model(x) - y) ** 2)
            weights = model.trainable_variables
            optimizer.apply(tape.gradient(loss, weights), weights)
            return loss

        if monitor is not None:
            step = monitor.instrument(step, model, optimizer)
        for begin in range(0, len(X), 8):
            step(X[begin : begin + 8], Y[begin : begin + 8])
        variables = [*model.variables, *optimizer.variables]
        return [np.asarray(variable).tobytes() for variable in variables]

    monitor = kik.SignalMonitor(None, every=every, rules=None)
    assert looped(monitor) == looped()
    assert monitor.record.signal("update").steps.tolist() == [*range(0, 6, every)]


def test_a_graph_is_looked_at_when_it_is_traced_and_not_at_each_step(monkeypatch):
    looked = []
    of_graph = first_trace.changes
    monkeypatch.setattr(
        first_trace, "changes", lambda graph: looked.append(1) or of_graph(graph)
    )
    counts = []
    for steps in (3, 30):
        looked.clear()
        keras.utils.set_random_seed(0)
        model = keras.Sequential([keras.layers.Input((4,)), keras.layers.Dense(1)])
        model.compile("adam", "mse", metrics=["mae"])
        x = np.ones((4 * steps, 4), "float32")
        monitor = kik.SignalMonitor(None, 1, rules=None)
        model.fit(x, x[:, :1], 4, verbose=0, callbacks=[monitor])
        counts.append(len(looked))
    assert counts[0] == counts[1] > 0
