"""Which iteration a batch is, with and without an optimizer that counts."""

import types

import pytest

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
