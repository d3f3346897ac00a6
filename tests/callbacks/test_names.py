"""Names that no file, URL or terminal can hold as they are."""

import keras
import matplotlib
import numpy as np
import pytest

import keras_initkit as kik
from tests.tensorboard_tab import tab_readers

HALF = "half\ud800"  # of a UTF-16 pair
NAMES = {
    "halves": (HALF, "\udfffhalf", "pair\ud83d\ude00"),
    "equal once escaped": (HALF, "half%D800", "half\\ud800"),
    "controls": ("a\0b", "a\0c", "a\r\n\t\x1b[31m"),
    "long": ("n" * 300, "n" * 301, "n" * 30_000),
}
X = np.random.default_rng(0).standard_normal((16, 3)).astype(np.float32)


class Counting(keras.Sequential):
    """A model whose steps have metrics of these names."""

    def train_step(self, data):
        loss = super().train_step(data)["loss"]
        names = (HALF, "half%D800", "a,b", "a", "b", "top@init", "top", "c#1/d")
        return {"loss": loss, **{name: float(i) for i, name in enumerate(names)}}


def trained(names, *callbacks):
    keras.utils.set_random_seed(0)
    hidden = [keras.layers.Activation("tanh", name=name) for name in names]
    output = keras.layers.Dense(1)
    model = Counting([keras.layers.Input((3,)), *hidden, output])
    # In a graph, TensorFlow refuses most of these names by itself.
    model.compile("sgd", "mse", run_eagerly=True)
    model.fit(X, X[:, 0], 8, shuffle=False, verbose=0, callbacks=callbacks)
    return model


@pytest.mark.parametrize("names", NAMES.values(), ids=NAMES)
def test_odd_names_cost_nothing_and_are_read_back(names, tmp_path):
    monitor = kik.SignalMonitor(tmp_path / "log", every=1)
    watched, bare = trained(names, monitor), trained(names)
    for one, other in zip(watched.get_weights(), bare.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    loaded = kik.RunRecord.load(tmp_path / "log")
    assert loaded.missing == []
    assert loaded.diff(monitor.record).equal
    assert loaded.scalars.keys() == monitor.record.scalars.keys()
    layers = [key.layer for key in loaded.signal("activation").tensors]
    assert [layer for layer in layers if layer in names] == list(names)
    with tab_readers.python_provider(tmp_path, 100) as provider:
        tab = tab_readers.Tab(provider)
        (run,) = tab.json("/index")["runs"]
        assert run["notes"] == []
        found = tab.values("/statistic", signal="activation", column="rms")
        assert len(found["log"][0][0]) == len(layers)
        assert tab.get("/facts", run="log").status_code == 200
        metrics = tab.values("/metrics")["log"]
        assert {name for part in metrics for name in part[0]} >= {HALF, "a,b", "top"}


def test_odd_names_are_escaped_where_they_are_shown(tmp_path):
    monitor = kik.SignalMonitor(None, every=1)
    model = trained(NAMES["halves"], monitor)
    record = monitor.record
    record.to_json(tmp_path / "record.json")
    back = kik.RunRecord.from_json(tmp_path / "record.json")
    assert back.diff(record).equal
    record.to_csv(tmp_path / "record.csv")
    assert r"half\ud800" in (tmp_path / "record.csv").read_text()
    assert r"half\ud800" in record.to_dataframe()["layer"].tolist()
    with matplotlib.rc_context({"backend": "agg"}):
        record.plot(tmp_path / "record.png")
    diagnosis = kik.diagnose(model, X, X[:, 0])
    for text in (str(record), str(diagnosis), diagnosis._repr_html_()):
        text.encode()
    kik.reinitialize(model, "he", seed=0)
    # A graph refuses the name within a name scope of Keras's.
    following = keras.layers.Dense(1, name="following")
    following.build((None, 1))
    assert following.path == "following"
