"""What looks at a model leaves all as it was that its layers move by themselves."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_initkit as kik
from keras_initkit.structure.in_place import unchanged

k = keras.layers
X = np.random.default_rng(0).normal(size=(8, 4)).astype("float32")


class Clipped(k.Layer):
    """Assigns a trainable weight, in training only."""

    def __init__(self):
        super().__init__()
        self.inner = k.Dense(4)

    def call(self, x, training=None):
        if training:
            self.inner.kernel.assign(tf.clip_by_value(self.inner.kernel, -0.1, 0.1))
        return self.inner(x)


class Halved(k.Layer):
    """Assigns a trainable weight in every pass."""

    def build(self, shape):
        self.kernel = self.add_weight(shape=(shape[-1], 4), name="kernel")

    def call(self, x):
        self.kernel.assign(self.kernel / 2)
        return x @ self.kernel


class Counting(k.Layer):
    """Counts in a frozen weight, and adds a loss."""

    def build(self, shape):
        self.count = self.add_weight(
            shape=(), initializer="zeros", trainable=False, name="count"
        )

    def call(self, x):
        self.count.assign_add(1.0)
        self.add_loss(tf.reduce_mean(x**2))
        return x


class Remembering(k.Layer):
    """Keeps what it saw in attributes, lists and dicts."""

    def __init__(self):
        super().__init__()
        self.calls = 0
        self._last = None
        self.seen = []
        self.by_name = {"n": 0}
        self.table = np.zeros(2)

    def call(self, x):
        self.calls += 1
        self._last = x
        self.new = x
        self.seen.append(1)
        self.by_name["n"] += 1
        self.table += 1
        return x

    def held(self):
        return self.calls, self._last, len(self.seen), dict(self.by_name), [*self.table]


class OfTensorFlow(k.Layer):
    """Counts in a variable of TensorFlow."""

    def __init__(self):
        super().__init__()
        self.count = tf.Variable(0.0)

    def call(self, x):
        self.count.assign_add(1.0)
        return x

    def held(self):
        return float(self.count)


class Box:
    def __init__(self):
        self.count = keras.Variable(0.0, trainable=False)
        self.calls = 0


class Boxed(k.Layer):
    """Counts in an object of its own, of which Keras does not know."""

    def __init__(self):
        super().__init__()
        self.box = Box()

    def call(self, x):
        self.box.count.assign_add(1.0)
        self.box.calls += 1
        return x

    def held(self):
        return float(self.box.count), self.box.calls


class Measuring(k.Layer):
    """Updates a metric, which a tuple holds."""

    def __init__(self):
        super().__init__()
        self.means = (keras.metrics.Mean(name="mean"),)

    def call(self, x):
        self.means[0].update_state(tf.reduce_mean(x))
        return x

    def held(self):
        return float(self.means[0].count)


class Drawing(k.Layer):
    """Draws from generators, one of which a dict holds."""

    def __init__(self):
        super().__init__()
        self.one = keras.random.SeedGenerator(1)
        self.more = {"two": keras.random.SeedGenerator(2)}

    def call(self, x):
        for generator in (self.one, self.more["two"]):
            x = x + keras.random.normal((4,), seed=generator)
        return x

    def held(self):
        return [self.more["two"].state.numpy().tolist()]


KINDS = {
    "spectral": lambda: k.SpectralNormalization(k.Dense(4)),
    "batch": k.BatchNormalization,
    "dropout": lambda: k.Dropout(0.5),
    **{
        kind.__name__.lower(): kind
        for kind in (
            Clipped,
            Halved,
            Counting,
            Remembering,
            OfTensorFlow,
            Boxed,
            Measuring,
            Drawing,
        )
    },
}


def model_with(kind):
    keras.utils.set_random_seed(0)
    middle = KINDS[kind]()
    model = keras.Sequential([k.Input((4,)), k.Dense(4, "relu"), middle, k.Dense(4)])
    model.compile("adam", "mse", metrics=["mae"], run_eagerly=True)
    model.fit(X, X, verbose=0)
    return model, middle


def state(model, middle):
    variables = [*model.variables, *model.metrics_variables, *model.optimizer.variables]
    values = [variable.numpy().tolist() for variable in variables]
    held = middle.held() if hasattr(middle, "held") else None
    losses = [len(layer._losses) for layer in model._flatten_layers()]
    return values, held, losses, sorted(vars(middle))


def trained_sizes(model):
    from keras_initkit.inspection import _coordinate_check

    _coordinate_check._sizes(model, X)


def drawn(model):
    """`over_draws` puts weights back; what a layer makes of them it must not keep."""
    kik.over_draws(model, X, "he_normal", draws=2)


LOOKS = {
    "diagnose": lambda model: kik.diagnose(model, X, X, jacobian=True),
    "diagnose_without_targets": lambda model: kik.diagnose(model, X),
    "lint": kik.lint,
    "recommend": lambda model: kik.recommend(model, X),
    "expect": lambda model: kik.theory.expect(model, X),
    "over_draws": drawn,
    "lsuv": lambda model: kik.lsuv(model, X, max_iterations=0, orthonormal=False),
    "coordinate_check": trained_sizes,
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("look", LOOKS)
def test_all_is_as_it_was(look, kind):
    model, middle = model_with(kind)
    before = state(model, middle)
    LOOKS[look](model)
    assert state(model, middle) == before


@pytest.mark.parametrize("kind", KINDS)
def test_training_goes_on_as_if_nobody_had_looked(kind):
    ends = []
    for looks in (False, True):
        model, _ = model_with(kind)
        if looks:
            kik.diagnose(model, X, X)
        model.fit(X, X, epochs=2, verbose=0)
        ends.append([v.numpy().tolist() for v in model.variables])
    assert ends[0] == ends[1]


@pytest.mark.parametrize("kind", ["counting", "remembering", "measuring", "drawing"])
def test_metainit_moves_weights_alone(kind):
    model, middle = model_with(kind)
    held = state(model, middle)[1:]
    frozen = [v.numpy().tolist() for v in model.non_trainable_variables]
    kik.metainit(model, X, steps=1)
    assert state(model, middle)[1:] == held
    assert [v.numpy().tolist() for v in model.non_trainable_variables] == frozen


def test_all_is_as_it_was_when_the_pass_raises():
    model, middle = model_with("clipped")
    before = state(model, middle)

    def fail():
        with unchanged(model):
            model(X, training=True)
            raise KeyError("after")

    with pytest.raises(KeyError):
        fail()
    assert state(model, middle) == before


def test_lists_and_dicts_of_a_layer_still_go_in_checkpoints(tmp_path):
    model, _ = model_with("remembering")
    kik.diagnose(model, X, X)
    path = tf.train.Checkpoint(model=model).save(str(tmp_path / "model"))
    assert tf.train.list_variables(path)
