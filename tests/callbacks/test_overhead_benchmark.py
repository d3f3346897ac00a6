"""What the benchmark of the overhead takes apart."""

import keras
import numpy as np

import keras_initkit as kik
from benchmarks import overhead


def test_each_phase_of_a_monitored_step_is_clocked(tmp_path):
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    x = np.zeros((4, 3), "float32")
    monitor = kik.SignalMonitor(tmp_path, every=1, rules=None)
    with overhead.clocked(**overhead.PHASES) as clock:
        model.fit(x, x[:, :1], verbose=0, callbacks=[monitor])
    assert set(clock) == set(overhead.PHASES)
    assert clock["monitored"] > clock["host"] + clock["receive"] > 0
    assert clock["receive"] > clock["write"] > 0
