"""Models, losses and optimizers that raise: the rest is judged, and a note says so."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_initkit as kik

k = keras.layers
X = np.random.default_rng(0).normal(size=(8, 4)).astype("float32")
Y = X[:, :1].copy()


class Base(keras.Model):
    def __init__(self):
        super().__init__()
        self.hidden = k.Dense(4, "relu")
        self.out = k.Dense(1)

    def call(self, x):
        return self.out(self.hidden(x))


class OldComputeLoss(Base):
    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None):
        return super().compute_loss(x, y, y_pred, sample_weight)


class ShortComputeLoss(Base):
    def compute_loss(self, y, y_pred):
        return tf.reduce_mean((y - y_pred) ** 2)


class RaisingComputeLoss(Base):
    def compute_loss(self, *args, **kwargs):
        raise RuntimeError("mine")


class NoCall(keras.Model):
    def __init__(self):
        super().__init__()
        self.hidden = k.Dense(4)


class TwoInputs(Base):
    def call(self, a, b):
        return self.out(self.hidden(a) + self.hidden(b))


class Raising(Base):
    def call(self, x):
        raise RuntimeError("boom")


class OfOutputs(Base):
    def __init__(self, make):
        super().__init__()
        self.make = make

    def call(self, x):
        return self.make(super().call(x))


class SeveralRates(keras.optimizers.SGD):
    """As `MultiOptimizer`: there is no single learning rate, and no config."""

    @property
    def learning_rate(self):
        raise NotImplementedError("each optimizer has its own")

    def get_config(self):
        raise NotImplementedError


def compiled(model, optimizer="sgd", loss="mse", **more):
    model.compile(optimizer, loss, **more)
    return model


def stack(**more):
    layers = [k.Input((4,)), k.Dense(4, "relu"), k.Dense(1)]
    return compiled(keras.Sequential(layers), **more)


def two_outputs(loss):
    x = k.Input((4,))
    return compiled(keras.Model(x, [k.Dense(1, name=n)(x) for n in "ab"]), loss=loss)


@pytest.mark.parametrize("kind", [OldComputeLoss, ShortComputeLoss])
def test_own_loss_is_given_what_it_takes(kind):
    model = compiled(kind())
    found = kik.diagnose(model, X, Y)
    assert found.loss == pytest.approx(np.mean((model(X) - Y) ** 2), rel=1e-5)
    assert not any("loss" in note for note in found.notes)


LOSSES = {
    "own": lambda: compiled(RaisingComputeLoss()),
    "none": lambda: stack(loss=None),
    "one_argument": lambda: stack(loss=lambda a: 0.0),
    "by_name_only": lambda: stack(loss=lambda *, y_true, y_pred: y_pred),
    "returns_none": lambda: stack(loss=lambda y, p: None),
    "unknown_output": lambda: two_outputs({"a": "mse", "b": lambda a: 0.0}),
}


@pytest.mark.parametrize("kind", LOSSES)
def test_loss_that_raises_is_not_judged_and_gradients_are(kind):
    model = LOSSES[kind]()
    y = {"a": Y, "b": Y} if kind == "unknown_output" else Y
    found = kik.diagnose(model, X, y)
    assert found.loss is None
    notes = [note for note in found.notes if note.startswith("The loss raised ")]
    assert len(notes) == 1
    assert notes[0].endswith("random targets, and the loss is not judged.")
    assert found.record.signal("gradient") is not None
    assert np.isfinite(found.record.profile("gradient", "rms")[1]).all()


@pytest.mark.parametrize("kind", [NoCall, TwoInputs, Raising])
@pytest.mark.parametrize("built", [False, True])
def test_pass_that_raises_is_a_note(kind, built):
    model = compiled(kind())
    model.built = built
    found = kik.diagnose(model, X, Y, jacobian=True)
    assert "the model's forward pass on `x` raised " in " ".join(found.notes)
    assert "No Jacobian: its forward pass raised " in " ".join(found.notes)
    assert found.loss is None
    assert found.record.series == {}
    assert found.model == model.name
    assert found.to_dict()["notes"] == found.notes
    assert str(found)
    kik.lint(model)


def test_lint_still_judges_what_has_no_pass():
    model = compiled(NoCall(), keras.optimizers.SGD(1e3))
    model.built = True
    found = kik.diagnose(model, X)
    assert "LearningRateRange" in {finding.rule for finding in found.findings}
    assert [f.rule for f in found.findings] == [f.rule for f in kik.lint(model)]


@pytest.mark.parametrize("kind", [NoCall, TwoInputs, Raising])
def test_recommend_says_why_a_model_is_not_built(kind):
    with pytest.raises(ValueError, match=r"`model` must be built.*on `x` raised "):
        kik.recommend(kind(), X)


OUTPUTS = {
    "none": lambda p: None,
    "partly_none": lambda p: (p, None),
    "text": tf.as_string,
    "ragged": lambda p: tf.RaggedTensor.from_row_lengths(p, [3, 5]),
    "scalar": tf.reduce_mean,
    "dict": lambda p: {"a": p, "b": 2 * p},
    "whole": lambda p: tf.argmax(p, -1),
}


@pytest.mark.parametrize("kind", OUTPUTS)
@pytest.mark.parametrize("y", [None, Y])
@pytest.mark.parametrize("compiles", [False, True])
def test_outputs_of_any_kind(kind, y, compiles):
    model = OfOutputs(OUTPUTS[kind])
    if compiles:
        model.compile("sgd", "mse")
    found = kik.diagnose(model, X, y, jacobian=True)
    assert found.record.signal("activation") is not None
    assert str(found)


def test_optimizer_without_a_single_rate():
    model = stack(optimizer=SeveralRates())
    found = kik.diagnose(model, X, Y)
    assert found.loss is not None
    assert "Updates were not judged: the optimizer cannot be copied." in found.notes
    assert found.record.metadata["optimizer"]["learning_rate"] is None
    assert "LearningRateRange" not in {finding.rule for finding in kik.lint(model)}


def test_one_fact_that_raises_leaves_the_others():
    class Odd(keras.regularizers.Regularizer):
        def __call__(self, w):
            raise RuntimeError("penalty")

    model = stack()
    model.layers[0].kernel.regularizer = Odd()
    model.layers[0].kernel_regularizer = None
    from keras_initkit.structure import description

    facts = description.of_training(model)
    assert facts["loss"]["name"] == "mean_squared_error"
    assert "penalty" not in facts


def test_check_that_raises_is_a_warning(monkeypatch):
    from keras_initkit.diagnosis import registry

    def fail(subject, limits):
        raise RuntimeError("rate")

    import dataclasses

    rule = dataclasses.replace(registry.LINTS["LearningRateRange"], check=fail)
    monkeypatch.setitem(registry.LINTS, "LearningRateRange", rule)
    model = keras.Sequential([k.Input((4,)), k.Dense(1, "softmax")])
    with pytest.warns(UserWarning, match="skipped LearningRateRange .*rate"):
        found = kik.lint(model, rules=["LearningRateRange", "LossActivationMismatch"])
    assert [finding.rule for finding in found] == ["LossActivationMismatch"]


@pytest.mark.parametrize(
    "model",
    [
        lambda: compiled(keras.Sequential([k.Input((4,)), k.ReLU()])),
        lambda: compiled(keras.Sequential()),
        lambda: stack(optimizer=None),
        lambda: two_outputs(["mse", None]),
        lambda: two_outputs({"a": "mse"}),
    ],
)
def test_nothing_raises(model):
    model = model()
    y = [Y, Y] if len(getattr(model, "outputs", None) or ()) == 2 else X
    kik.diagnose(model, X, y)
    kik.diagnose(model, X)
    kik.lint(model)
