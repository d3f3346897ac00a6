"""Every kind of model and training: not disturbed, fully recorded, nothing left."""

import keras
import kinds
import numpy as np
import pytest

import keras_initkit as kik
from keras_initkit import schema

EVERY = 7


def fit(kind, model, *callbacks):
    x = kind.x() if callable(kind.x) else kind.x
    options = {"batch_size": kinds.BATCH, "shuffle": False, "verbose": 0, **kind.fit}
    model.fit(x, kind.y, callbacks=list(callbacks), **options)


def build(kind):
    keras.utils.clear_session()
    keras.utils.set_random_seed(1)
    return kind.build()


@pytest.mark.parametrize("name", kinds.KINDS)
def test_kind_of_model(name):
    kind = kinds.KINDS[name]
    bare = build(kind)
    fit(kind, bare)
    watched, monitor = build(kind), kik.SignalMonitor(None, every=EVERY, histograms=1)
    fit(kind, watched, monitor)

    assert len(bare.weights) == len(watched.weights)
    for one, other in zip(bare.get_weights(), watched.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)

    record = monitor.record
    steps = list(range(0, kind.steps, EVERY))
    activation = record.signal("activation")
    assert activation.steps.tolist() == steps
    names = {key.layer.split("/")[-1] for key in activation.tensors}
    assert names >= set(kind.expected)
    for signal in ("gradient", "weight", "update"):
        series = record.signal(signal)
        assert series.steps.tolist() == steps
        found = [f"{key.layer}/{key.tensor}" for key in series.tensors]
        assert sorted(found) == sorted(v.path for v in watched.trainable_variables)
    for series in record.series.values():
        assert np.isfinite(series.statistic("rms")).all()
    for layer in watched._flatten_layers():
        assert "call" not in vars(layer)
    assert "train_step" not in vars(watched)
    assert "apply" not in vars(watched.optimizer)
    named = {name for name, _ in record.metadata["untapped"]}
    assert named.isdisjoint(key.layer for key in activation.tensors)


def test_shared_layer_has_an_entry_a_call():
    model, monitor = build(kinds.KINDS["shared"]), kik.SignalMonitor(None)
    fit(kinds.KINDS["shared"], model, monitor)
    for signal in ("activation", "preactivation", "backprop"):
        labels = [key.label for key in monitor.record.signal(signal).tensors]
        assert labels[:3] == ["shared", "shared@1", "shared@2"]


def test_rematerialized_layer_is_named_with_the_reason():
    model, monitor = build(kinds.KINDS["rematerialized"]), kik.SignalMonitor(None)
    fit(kinds.KINDS["rematerialized"], model, monitor)
    reasons = dict(monitor.record.metadata["untapped"])
    assert "RematScope" in reasons["again"]


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_gradients_of_mixed_precision_are_unscaled(policy):
    """Gradients and back-propagated signals are those of the unscaled loss."""
    monitors = []
    for name in ("functional", policy):
        monitors.append(kik.SignalMonitor(None, every=1))
        fit(kinds.KINDS[name], build(kinds.KINDS[name]), monitors[-1])
    full, mixed = (monitor.record for monitor in monitors)
    for signal in ("gradient", "backprop", "activation", "preactivation"):
        one, other = full.signal(signal), mixed.signal(signal)
        assert [k.layer for k in one.tensors] == [k.layer for k in other.tensors]
        np.testing.assert_allclose(
            one.statistic("rms")[0], other.statistic("rms")[0], rtol=0.05
        )


def test_accumulation_shows_updates_only_where_they_are():
    kind, monitor = kinds.KINDS["accumulation"], kik.SignalMonitor(None, every=1)
    fit(kind, build(kind), monitor)
    moved = (monitor.record.signal("update").statistic("norm") > 0).any(axis=1)
    assert moved.tolist() == [step % 4 == 3 for step in range(kind.steps)]


def test_clipping_comes_after_the_gradient_is_read():
    kind, monitor = kinds.KINDS["clipping"], kik.SignalMonitor(None, every=1)
    fit(kind, build(kind), monitor)
    assert (monitor.record.signal("gradient").statistic("norm")[0] > 0.01).all()
    updates = monitor.record.signal("update").statistic("norm")
    np.testing.assert_allclose(updates, 0.1 * 0.01, rtol=1e-3)


def test_keys_are_unique():
    for name in ("subclassed", "bidirectional", "stacked_cells", "attention"):
        monitor = kik.SignalMonitor(None)
        fit(kinds.KINDS[name], build(kinds.KINDS[name]), monitor)
        for signal in schema.SIGNALS:
            series = monitor.record.signal(signal)
            if series is not None:
                assert len(set(series.tensors)) == len(series.tensors)
