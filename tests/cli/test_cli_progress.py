"""The bar of a run, without a terminal to draw it on."""

import keras
import numpy as np
import pytest
import rich.progress

from keras_initkit_light.cli import _progress


@pytest.fixture
def bars():
    return rich.progress.Progress(disable=True)


def test_bar_counts_the_steps_of_all_epochs(bars, monkeypatch):
    monkeypatch.setattr(_progress, "_REFRESH", 0.0)
    task = bars.add_task("", total=None, visible=False, note="")
    bar = _progress._make_callback(bars, task, "he_normal seed 0")
    model = keras.Sequential([keras.layers.Input((2,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    x = np.ones((12, 2), np.float32)
    model.fit(x, x[:, 0], 4, epochs=2, verbose=0, callbacks=[bar])

    (shown,) = bars.tasks
    assert (shown.total, shown.completed) == (6, 6)
    assert shown.description == "he_normal seed 0"
    assert shown.fields["note"].startswith("epoch 2/2 loss ")
    assert not shown.visible
