"""Two replicas in one process: statistics of the global batch, training undisturbed."""

import subprocess
import sys

import distribution_cases as cases
import pytest

# One worker for all tests: the process is run once.
pytestmark = pytest.mark.xdist_group("replicas")


@pytest.fixture(scope="module")
def mirrored(tmp_path_factory):
    """What a process with two logical CPUs leaves: TensorFlow makes them only once."""
    directory = tmp_path_factory.mktemp("mirrored") / "out"
    cases.finish(cases.run_apart("mirrored", directory))
    return directory


@pytest.mark.parametrize("way", ["fit", "loop"])
def test_two_replicas(mirrored, way, record_property):
    name = f"two_replicas_in_{way}"
    cases.assert_promises(name, [mirrored], way, record_property)


PROGRAM = """
import keras, numpy as np, tensorflow as tf
import keras_initkit as kik

(cpu,) = tf.config.list_physical_devices("CPU")
two = [tf.config.LogicalDeviceConfiguration()] * 2
tf.config.set_logical_device_configuration(cpu, two)
x = np.random.default_rng(0).normal(size=(32, 6)).astype("float32")


def trained(*callbacks):
    keras.backend.clear_session(free_memory=False)
    keras.utils.set_random_seed(1)
    with tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]).scope():
        hidden = keras.layers.Dense(7, "relu")
        last = keras.layers.Dense(2)
        model = keras.Sequential([keras.layers.Input((6,)), hidden, last])
        model.compile("sgd", "mse")
    model.fit(x, x[:, :2], 8, verbose=0, shuffle=False, callbacks=list(callbacks))
    return model.get_weights()


bare = trained()
full = kik.SignalMonitor(None, 1, rules=None)
norms = kik.SignalMonitor(None, 1, detail="norms", rules=None)
both = kik.SignalMonitor(None, detail={"norms": 1, "full": 3}, rules=None)
for monitor in (full, norms, both):
    for one, other in zip(bare, trained(monitor), strict=True):
        np.testing.assert_array_equal(one, other)
for signal, series in norms.record.series.items():
    for name in series.statistics:
        known = full.record.signal(signal).statistic(name)
        np.testing.assert_allclose(series.statistic(name), known, 1e-6)
        beside = both.record.norms[signal].statistic(name)
        np.testing.assert_allclose(beside, known, 1e-6)
print("all equal")
"""


def test_each_training_may_have_a_strategy_of_its_own_and_a_detail(tmp_path):
    path = tmp_path / "program.py"
    path.write_text(PROGRAM)
    done = subprocess.run(
        [sys.executable, str(path)], capture_output=True, text=True, timeout=300
    )
    assert done.stdout.strip() == "all equal", done.stderr[-2000:]
