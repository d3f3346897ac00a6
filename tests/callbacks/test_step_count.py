"""Which iteration a batch is, with and without an optimizer that counts."""

import types

import keras
import numpy as np
import pytest

import keras_initkit as kik
from keras_initkit.callbacks.counting import StepCount


def model(iterations=0, steps_per_execution=1):
    return types.SimpleNamespace(
        optimizer=types.SimpleNamespace(iterations=iterations),
        steps_per_execution=steps_per_execution,
    )


@pytest.mark.parametrize("batches", [5, None])
def test_optimizer_has_the_last_word(batches):
    trained = model(100, steps_per_execution=2)
    count = StepCount(trained, batches)
    for epoch in range(2):
        count.begin_epoch()
        begun = [list(count.begin_batch(batch)) for batch in (0, 2, 4)]
        first = 100 + 5 * epoch
        assert begun == [[first + i, first + i + 1] for i in (0, 2, 4)]
        trained.optimizer.iterations += 5
    trained.optimizer.iterations = 1000
    assert count.ask(3) == 1000
    assert list(count.begin_batch(4)) == [1001, 1002]


def test_batches_are_counted_where_the_optimizer_does_not():
    count = StepCount(model(steps_per_execution=2), batches=5)
    begun = []
    for _ in range(3):
        count.begin_epoch()
        begun += [count.begin_batch(batch)[0] for batch in (0, 2, 4)]
        assert count.ask(4) == begun[-1]
    assert begun == [0, 2, 4, 5, 7, 9, 10, 12, 14]


def test_iterations_of_a_step_that_applies_twice_are_learnt_behind_the_first():
    trained = model()
    count = StepCount(trained, batches=4)
    count.begin_epoch()
    assert count.begin_batch(0) == range(1)
    assert count.ask(0) == 0
    trained.optimizer.iterations = 2
    assert count.begin_batch(1) == range(2, 4)
    assert count.begin_batch(3) == range(6, 8)
    trained.optimizer.iterations = 8
    count.begin_epoch()
    assert count.begin_batch(1) == range(10, 12)


def test_skipped_batches_are_counted_and_are_no_iterations():
    optimizer = keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD())
    trained = types.SimpleNamespace(
        optimizer=optimizer, steps_per_execution=1, trainable_variables=[np.ones(1)]
    )
    count = StepCount(trained, batches=10)
    count.begin_epoch()
    count.begin_batch(0)
    assert count.ask(0) == 0
    assert count.is_skipped(0)
    assert count.begin_batch(1) == range(1)
    assert (count.ask(1), count.skipped) == (0, 1)
    optimizer.inner_optimizer.iterations.assign(1)
    assert not count.is_skipped(0)
    assert count.begin_batch(2) == range(1, 2)
    optimizer.inner_optimizer.iterations.assign(6)
    count.begin_batch(9)
    count.begin_epoch()
    assert (count.begin_batch(0), count.skipped) == (range(6, 7), 4)


def test_fit_whose_steps_are_all_skipped_says_so():
    scaled = keras.optimizers.LossScaleOptimizer(
        keras.optimizers.SGD(), initial_scale=2.0**127
    )
    trained = keras.Sequential([keras.layers.Input((2,)), keras.layers.Dense(1)])
    trained.compile(scaled, "mse")
    monitor = kik.SignalMonitor(None, every=1)
    x, y = np.ones((12, 2), np.float32), np.full((12, 1), 1e3, np.float32)
    with pytest.warns(UserWarning, match=r"skipped all 3 steps.*initial_scale"):
        trained.fit(x, y, batch_size=4, verbose=0, callbacks=[monitor])
    assert not monitor.record.series
    # Each halved the scale: later ones get through, and the count comes with them.
    trained.fit(x, y, epochs=10, batch_size=4, verbose=0, callbacks=[monitor])
    assert monitor.record.series


@pytest.mark.parametrize(
    ("each", "every", "expected"),
    [
        (2, 10, [1, 11]),
        (2, 1, [*range(12)]),
        (4, 2, [3, 7, 11]),
        (3, 5, [2, 5, 11]),
        (None, 5, [0, 5, 10]),
    ],
)
@pytest.mark.parametrize("scaled", [False, True])
def test_a_step_that_applies_what_is_accumulated_stands_in_for_one_that_keeps_it(
    each, every, expected, scaled
):
    optimizer = keras.optimizers.SGD(0.1, gradient_accumulation_steps=each)
    if scaled:
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
    network = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    network.compile(optimizer, "mse")
    monitor = kik.SignalMonitor(None, every, rules=None)
    x = np.ones((12, 2), "float32")
    network.fit(x, x[:, :1], 1, verbose=0, callbacks=[monitor])
    updates = monitor.record.signal("update")
    assert updates.steps.tolist() == expected
    if every != 1:
        assert (updates.statistic("norm") > 0).all()


def test_nothing_is_skipped_where_nothing_is_trained():
    network = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    network.trainable = False
    inner = keras.optimizers.SGD()
    network.compile(keras.optimizers.LossScaleOptimizer(inner), "mse")
    monitor = kik.SignalMonitor(None, 1, rules=None)
    x = np.ones((4, 2), "float32")
    with pytest.warns(UserWarning, match="does not have any trainable weights"):
        network.fit(x, x[:, :1], 1, verbose=0, callbacks=[monitor])
    assert monitor.record.signal("activation").steps.tolist() == [0, 1, 2, 3]
    assert set(monitor.record.scalars[kik.schema.SKIPPED][-1]) == {0.0}
