"""Sweeps that go on: what is kept, what runs again, and why."""

import functools
import json
import os
import pathlib
import signal
import subprocess
import sys
import time
import zipfile

import keras
import numpy as np
import pytest

import keras_initkit as kik
from keras_initkit.experiments import grid, jobs, resuming
from keras_initkit.experiments.data import as_data
from keras_initkit.experiments.store import finished, key
from keras_initkit.experiments.store.fingerprint import fingerprint
from keras_initkit.experiments.store.names import without_numbers
from keras_initkit.experiments.sweep import Cell, Sweep

X = np.arange(24, dtype="float32").reshape(12, 2) / 24
DATA = ((X, X[:, :1]), (X[:6], X[:6, :1]))
UNITS = 3


class Half(keras.layers.Layer):
    def call(self, x):
        return x / 2


def small(initializer, seed, width=UNITS):
    if isinstance(initializer, dict):  # seeded: models to be reused draw nothing else
        kind = keras.initializers.deserialize(initializer)
        initializer = kik.initializers.seeded(kind, seed, "small")
    model = keras.Sequential(
        [
            keras.Input((2,)),
            keras.layers.Dense(width, "relu", kernel_initializer=initializer),
            Half(),
            keras.layers.Dense(1, kernel_initializer=initializer),
        ]
    )
    model.compile("sgd", "mse")
    return model


SMALL = kik.experiments.Reused(small)  # traced once for all tests


def compare(log_dir, initializers=("he", "zeros"), build=SMALL, data=DATA, **more):
    settings = dict(seeds=2, epochs=1, batch_size=4, log_dir=log_dir)
    return kik.compare(build, data, list(initializers), **{**settings, **more})


def numbers(comparison):
    """What the table of a comparison tells, but for wall time."""
    rows = [{**row, "seconds": None} for row in comparison.to_dict()["table"]]
    return json.dumps([rows, comparison.verdict.to_dict()])


# Fingerprints: what they depend on, and what not.


def plus_one(x):
    return x + 1


def test_code_is_told_by_what_it_does():
    def commented(x):
        """Adds one."""
        # Adds one.

        return x + 1

    def other(x):
        return x + 2

    assert fingerprint(plus_one.__code__).digest != fingerprint(other.__code__).digest
    same = {"plus_one": plus_one, "commented": commented}
    namespaces = [{}, {}]
    for space, comment in zip(namespaces, ["", "    # Doubles.\n\n"], strict=True):
        text = f"def twice(x):\n{comment}    return 2 * x\n"
        exec(compile(text, f"<{len(comment)}>", "exec"), space)
    one, two = (fingerprint(space["twice"]).digest for space in namespaces)
    assert one == two
    assert len(same) == 2


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (1, 2),
        (1, 1.0),
        (True, 1),
        ("a", b"a"),
        ((1, 2), [1, 2]),
        ([1, [2]], [1, 2]),
        ({"a": 1}, {"a": 2}),
        ({1, 2}, {1, 3}),
        (np.zeros(2), np.zeros(3)),
        (np.zeros(2), np.zeros(2, "float32")),
        (np.zeros((2, 3)), np.zeros((3, 2))),
        (np.array([0.0]), np.array([-0.0])),
        (functools.partial(small, width=1), functools.partial(small, width=2)),
        (keras.initializers.RandomNormal(0, 1), keras.initializers.RandomNormal(0, 2)),
        (keras.optimizers.SGD(0.1), keras.optimizers.SGD(0.2)),
        (pathlib.PurePosixPath("a"), pathlib.PurePosixPath("b")),
        (np.random.default_rng(0), np.random.default_rng(1)),
    ],
)
def test_different_things_have_different_fingerprints(one, other):
    assert fingerprint(one).digest != fingerprint(other).digest
    assert fingerprint(one).digest == fingerprint(one).digest


def test_what_a_function_closes_over_counts():
    def adder(n):
        return lambda x: x + n

    assert fingerprint(adder(1)).digest == fingerprint(adder(1)).digest
    assert fingerprint(adder(1)).digest != fingerprint(adder(2)).digest


def test_globals_defaults_and_functions_that_are_called_count(monkeypatch):
    before = fingerprint(small).digest
    monkeypatch.setattr(sys.modules[__name__], "UNITS", 4)  # a default: bound already
    assert fingerprint(small).digest == before
    monkeypatch.setattr(small, "__defaults__", (4,))
    assert fingerprint(small).digest != before
    monkeypatch.undo()
    assert fingerprint(small).digest == before

    class Other(keras.layers.Layer):
        def call(self, x):
            return x / 3

    monkeypatch.setattr(sys.modules[__name__], "Half", Other)
    assert fingerprint(small).digest != before


def test_a_module_of_the_users_own_counts_with_what_it_imports(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "own_parts.py").write_text("WIDTH = 3\n")
    (tmp_path / "own_models.py").write_text("import own_parts\n")
    import own_models

    def build(initializer, seed):
        return own_models.own_parts.WIDTH

    before = fingerprint(build).digest
    assert fingerprint(build).digest == before
    (tmp_path / "own_parts.py").write_text("WIDTH = 4\n")
    assert fingerprint(build).digest != before


def test_packages_count_by_their_versions(monkeypatch):
    def build(initializer, seed):
        return keras.layers.Dense(1)

    found = fingerprint(build)
    assert found.packages == {"keras": keras.__version__}
    monkeypatch.setattr(keras, "__version__", "0")
    assert fingerprint(build).packages == {"keras": "0"}


def test_things_that_contain_themselves_end():
    loop = [1]
    loop.append(loop)
    assert fingerprint(loop).digest == fingerprint(loop).digest


def test_what_cannot_be_looked_into_is_told():
    import threading

    lock = threading.Lock()

    def build(initializer, seed):
        return lock

    assert fingerprint(build).unseen == ("an object of type lock",)


def test_fingerprints_are_the_same_in_another_process():
    code = (
        f"import sys; sys.path.insert(0, {str(pathlib.Path(__file__).parent)!r})\n"
        f"from {__name__} import *\n"
        "print(fingerprint(small, DATA, {'b', 'a'}).digest)"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "7"}
    there = subprocess.run(
        [sys.executable, "-c", code],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    assert there == fingerprint(small, DATA, {"b", "a"}).digest


def test_models_are_told_without_the_numbers_of_their_names():
    one, two = small("zeros", 0), small("zeros", 0)
    assert one.layers[0].name != two.layers[0].name
    assert key.of_model(one) == key.of_model(two)
    other = small("zeros", 0)
    other.compile("sgd", "mae")
    assert key.of_model(one)["model"] != key.of_model(other)["model"]
    assert key.of_model(one)["weights"] == key.of_model(other)["weights"]
    other = small("ones", 0)
    assert key.of_model(one)["weights"] != key.of_model(other)["weights"]


def test_models_without_a_configuration_of_their_own_are_told_so_too():
    class Subclass(keras.Model):
        def __init__(self, units):
            super().__init__()
            self.dense = keras.layers.Dense(units)

    one, two, other = Subclass(2), Subclass(2), Subclass(3)
    assert one.dense.name != two.dense.name
    assert key.of_model(one) == key.of_model(two)
    assert key.of_model(one)["model"] != key.of_model(other)["model"]


def test_names_that_users_give_stay():
    config = {"class_name": "Dense", "config": {"name": "mine_2"}}
    assert without_numbers(config) == config


def test_two_ways_through_a_graph_are_two_models():
    def model(crossed):
        x = keras.Input((2,))
        a, b = keras.layers.Dense(2, "relu")(x), keras.layers.Dense(2)(x)
        parts = [b, a] if crossed else [a, b]
        found = keras.Model(x, keras.layers.Subtract()(parts))
        for variable in found.weights:
            variable.assign(np.ones(variable.shape))
        return found

    assert key.of_model(model(False)) == key.of_model(model(False))
    assert key.of_model(model(False)) != key.of_model(model(True))


# Keys: each ingredient changes one part, and nothing else does.

BASE = dict(
    build_model=small,
    data=as_data(DATA),
    epochs=1,
    batch_size=4,
    every=10,
    callback_factory=None,
    hyperparameters={},
)


def callbacks(label, seed):
    return []


def keyed(threads=1, cell=None, **changed):
    sweep = Sweep(**{**BASE, **changed})
    one = cell or Cell("he", 0, "he_normal", directory=pathlib.Path("nowhere"))
    (missing,) = resuming.resume(sweep, [one], threads, fresh=True).missing
    return missing.key


def cell_of(**changed):
    fields = dict(label="he", seed=0, initializer="he_normal")
    return Cell(**{**fields, **changed}, directory=pathlib.Path("nowhere"))


@pytest.mark.parametrize(
    ("part", "changed"),
    [
        ("source", {"build_model": lambda i, s: small(i, s)}),
        ("source", {"callback_factory": callbacks}),
        ("data", {"data": as_data(((X + 1, X), (X, X)))}),
        ("data", {"data": as_data(((X, X[:, :1]), (X[:5], X[:5, :1])))}),
        ("settings", {"epochs": 2}),
        ("settings", {"batch_size": 5}),
        ("settings", {"every": 9}),
        ("settings", {"every": kik.schedules.every(10)}),
        ("settings", {"every": lambda step: step == 3}),
        ("settings", {"threads": 2}),
        ("initializer", {"cell": cell_of(initializer="zeros")}),
        ("initializer", {"cell": cell_of(start="lsuv")}),
        ("seed", {"cell": cell_of(seed=1)}),
        ("grid", {"cell": cell_of(options={"width": 4})}),
    ],
)
def test_each_ingredient_changes_its_part_of_the_key(part, changed):
    assert key.changed(keyed(), keyed(**changed)) == (part,)


def test_nothing_else_changes_the_key():
    assert keyed() == keyed()
    others = cell_of(label="other")
    assert keyed(cell=others) == keyed()  # what it is called
    assert keyed(hyperparameters={"model": "b"}) == keyed()


def test_versions_and_settings_of_keras_are_in_the_key(monkeypatch):
    before = keyed()
    monkeypatch.setattr(key, "__version__", "0")
    assert key.changed(before, keyed()) == ("versions",)
    monkeypatch.undo()
    keras.config.set_floatx("float64")
    try:
        assert "settings" in key.changed(before, keyed())
    finally:
        keras.config.set_floatx("float32")


# Sweeps.


def test_the_same_call_again_runs_nothing_and_tells_the_same(tmp_path):
    first = compare(tmp_path)
    assert (first.kept, first.changed) == (0, {})
    trained = []
    again = compare(tmp_path, on_result=trained.append)
    assert (again.kept, again.changed, len(trained)) == (4, {}, 4)
    assert numbers(again) == numbers(first)
    assert "4 of 4 runs were kept from before" in str(again)
    for one, other in zip(first.runs, again.runs, strict=True):
        assert one.to_dict() == other.to_dict()
        assert one.record.diff(other.record).first is None
        assert one.record.metadata == other.record.metadata
        assert one.loss_curve()[1].tolist() == other.loss_curve()[1].tolist()


def test_only_what_is_missing_runs(tmp_path):
    compare(tmp_path, ["he"], seeds=[1])
    more = compare(tmp_path, ["he", "zeros"])
    assert more.kept == 1
    assert len(more.runs) == 4
    assert numbers(more) == numbers(compare(None))


@pytest.mark.parametrize(
    ("changed", "part"),
    [
        ({"epochs": 2}, "settings"),
        ({"data": ((X * 2, X[:, :1]), DATA[1])}, "data"),
        ({"build": kik.experiments.Reused(lambda i, s: small(i, s, 5))}, "source"),
    ],
)
def test_what_has_changed_runs_again_and_is_told(tmp_path, changed, part):
    compare(tmp_path)
    again = compare(tmp_path, **changed)
    assert (again.kept, again.changed) == (0, {part: 4})
    assert f"4 rerun, because {key.PARTS[part]} changed" in str(again)


def test_weights_that_no_source_tells_are_seen(tmp_path):
    file = tmp_path / "weights.npy"
    np.save(file, np.ones((2, UNITS)))

    def loaded(initializer, seed):
        model = small(initializer, seed)
        model.layers[0].kernel.assign(np.load(file))
        return model

    loaded = kik.experiments.Reused(loaded)
    compare(tmp_path / "log", build=loaded)
    assert compare(tmp_path / "log", build=loaded).kept == 4
    np.save(file, np.zeros((2, UNITS)))
    again = compare(tmp_path / "log", build=loaded)
    assert (again.kept, again.changed) == (0, {"weights": 4})


def test_fresh_runs_everything_again(tmp_path):
    compare(tmp_path)
    assert compare(tmp_path, fresh=True).kept == 0
    assert compare(tmp_path).kept == 4


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty", "text"])
def test_damaged_files_run_again(tmp_path, damage):
    first = compare(tmp_path)
    path = tmp_path / "he-seed0" / finished.FILE
    content = path.read_bytes()
    path.write_bytes(
        {
            "cut": content[: len(content) // 2],
            "flipped": content.replace(b"accuracy", b"accurasy"),
            "empty": b"",
            "text": b"not a zip",
        }[damage]
    )
    again = compare(tmp_path)
    assert again.kept == 3
    assert numbers(again) == numbers(first)


def test_a_file_without_a_record_runs_again(tmp_path):
    compare(tmp_path, ["he"], seeds=1)
    path = tmp_path / "he-seed0" / finished.FILE
    with zipfile.ZipFile(path) as archive:
        content = archive.read("result.json")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("result.json", content)
    assert compare(tmp_path, ["he"], seeds=1).kept == 0


def test_files_hold_no_code(tmp_path):
    compare(tmp_path, ["he"], seeds=1)
    content = (tmp_path / "he-seed0" / finished.FILE).read_bytes()
    assert b"pickle" not in content
    assert not list(tmp_path.rglob("*.partial"))


def test_a_killed_write_leaves_no_half_file(tmp_path, monkeypatch):
    compare(tmp_path, ["he"], seeds=1)
    result, parts = finished.read(tmp_path / "he-seed0")
    before = (tmp_path / "he-seed0" / finished.FILE).read_bytes()

    def dies(*_):
        raise SystemExit

    monkeypatch.setattr(os, "fsync", dies)
    with pytest.raises(SystemExit):
        finished.write(result, parts, tmp_path / "he-seed0")
    assert (tmp_path / "he-seed0" / finished.FILE).read_bytes() == before


def test_what_a_killed_write_has_left_goes_when_the_run_runs_again(tmp_path):
    left = tmp_path / "he-seed0" / ".finished.npz.7.partial"
    left.parent.mkdir()
    left.touch()
    compare(tmp_path, ["he"], seeds=1)
    assert not left.exists()


def test_results_that_another_machine_kept_are_written_here(tmp_path):
    """A process that does not see the directory sends the file along."""
    cloudpickle = pytest.importorskip("cloudpickle")

    sweep = Sweep(**BASE, token=tmp_path / "nobody sees it")
    one = cell_of()
    cell = Cell("he", 0, "zeros", directory=tmp_path / "there" / "he-seed0")
    payload = (cloudpickle.dumps(sweep), sweep.data)
    result, content = jobs.run_there(payload, cloudpickle.dumps(cell), 0, None)
    here = Cell("he", 0, "zeros", directory=tmp_path / "here" / "he-seed0")
    kept = jobs.received(result, content, here)
    assert kept.log_dir == str(here.directory)
    assert kept.record.diff(result.record).first is None
    assert one.name == cell.name
    sees = Sweep(**BASE, token=tmp_path)
    payload = (cloudpickle.dumps(sees), sees.data)
    assert jobs.run_there(payload, cloudpickle.dumps(cell), 0, None)[1] is None


def test_grids_resume_and_keep_apart(tmp_path):
    settings = dict(initializers=["he"], grid={"width": [2, 3]}, seeds=2)
    first = compare(tmp_path, **settings)
    assert [(r.point["width"], r.seed) for r in first.runs] == [
        (2, 0),
        (2, 1),
        (3, 0),
        (3, 1),
    ]
    assert (tmp_path / "width=2" / "he-seed0" / finished.FILE).exists()
    assert [r.point["width"] for r in first.of("he", width=3)] == [3, 3]
    assert compare(tmp_path, **settings).kept == 4
    wider = compare(tmp_path, initializers=["he"], grid={"width": [2, 3, 4]})
    assert wider.kept == 4
    assert set(wider.why) == {f"he width={n}" for n in (2, 3, 4)}


# Under the name that this module has here: classes are told by their module, too.
SCRIPT = f"""
import sys
sys.path.insert(0, {str(pathlib.Path(__file__).parent)!r})
from {__name__.rpartition(".")[2]} import compare
compare(sys.argv[1], ["he", "zeros", "ones"], seeds=4, epochs=int(sys.argv[2]),
        n_jobs=int(sys.argv[3]) or None, progress=False)
print("done")
"""


def start(log_dir, epochs=3, n_jobs=0):
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(log_dir), str(epochs), str(n_jobs)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )


def wait_for_files(log_dir, count, process):
    deadline = time.monotonic() + 120
    while len(list(log_dir.rglob(finished.FILE))) < count:
        assert time.monotonic() < deadline
        assert process.poll() is None, "it ended early"
        time.sleep(0.01)


def resumed(log_dir, epochs=3):
    return compare(log_dir, ["he", "zeros", "ones"], seeds=4, epochs=epochs)


def test_a_killed_sweep_goes_on(tmp_path):
    process = start(tmp_path)
    wait_for_files(tmp_path, 2, process)
    process.send_signal(signal.SIGKILL)
    process.wait()
    there = len(list(tmp_path.rglob(finished.FILE)))
    again = resumed(tmp_path)
    assert again.kept == there
    undisturbed = compare(None, ["he", "zeros", "ones"], seeds=4, epochs=3)
    assert numbers(again) == numbers(undisturbed)


def test_cells_have_names_of_their_own():
    points = grid.points({"depth": [5, 30], "rate": {"slow": 0.1, "fast": 1.0}})
    assert [point.name for point in points] == [
        "depth=5,rate=slow",
        "depth=5,rate=fast",
        "depth=30,rate=slow",
        "depth=30,rate=fast",
    ]
    assert points[1].options == {"depth": 5, "rate": 1.0}
    assert grid.axes(points) == {"depth": (5, 30), "rate": ("slow", "fast")}


def test_models_used_again_are_told_by_what_they_were_built_with(tmp_path):
    compare(tmp_path, ["he", "zeros"])
    # Another process meets the initializers in another order.
    other = kik.experiments.Reused(small)
    assert compare(tmp_path, ["zeros", "he"], build=other).kept == 4


# TensorFlow's own, which `pytest.warns` repeats in this module's name.
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_a_full_disk_costs_no_training(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(finished, "write", full)
    with pytest.warns(UserWarning, match="could not be saved .*No space left"):
        found = compare(tmp_path, ["he"], seeds=1)
    assert len(found.runs) == 1
