"""`load` on stand-ins and on small files of the user's own."""

import pickle
import re
import warnings

import numpy as np
import pytest

from keras_initkit import data
from keras_initkit.data import _real, _reviews

SHAPES = {
    "cifar10": ((32, 32, 3), 10),
    "imdb": ((200,), 2),
    "mnist": ((28, 28, 1), 10),
    "xor": ((2,), 2),
}


@pytest.fixture(autouse=True)
def _no_own_folder(monkeypatch):
    monkeypatch.delenv(data.DATA_DIR_VARIABLE, raising=False)


@pytest.fixture(scope="module")
def standins():
    return {name: data.load(name, source="standin") for name in data.NAMES}


def small_arrays(name, n=20, m=10):
    rng = np.random.default_rng(0)
    shape, classes = SHAPES[name]
    if name == "imdb":
        x = np.empty(n + m, dtype=object)
        x[:] = [list(rng.integers(1, 50, size=rng.integers(1, 9))) for _ in x]
    else:
        shape = shape[:-1] if name == "mnist" else shape  # as Keras's own file
        x = rng.integers(0, 256, (n + m, *shape)).astype(np.uint8)
    y = (np.arange(n + m) % classes).astype(np.int64)
    y = y[:, None] if name == "cifar10" else y
    return {"x_train": x[:n], "y_train": y[:n], "x_test": x[n:], "y_test": y[n:]}


def write(folder, name, drop=(), **changes):
    arrays = {**small_arrays(name), **changes}
    path = folder / f"{name}.npz"
    np.savez(path, **{k: v for k, v in arrays.items() if k not in drop})
    return path


def test_names_are_the_documented_ones():
    assert data.NAMES == tuple(sorted(SHAPES))


@pytest.mark.parametrize("name", sorted(SHAPES))
def test_dataset_has_documented_shapes_types_and_ranges(name, standins):
    dataset = standins[name]
    shape, classes = SHAPES[name]
    assert dataset.name == name
    assert dataset.input_shape == shape
    assert len(dataset.class_names) == classes
    for x, y in (
        (dataset.x_train, dataset.y_train),
        (dataset.x_test, dataset.y_test),
    ):
        assert x.shape == (len(y), *shape)
        assert y.dtype == np.int32
        assert y.ndim == 1
        assert set(y.tolist()) == set(range(classes))
        if name == "imdb":
            assert x.dtype == np.int32
            assert x.min() == 0
            assert 1000 < x.max() < dataset.vocabulary == 10_000
        else:
            assert x.dtype == np.float32
            assert x.min() == 0.0
            assert x.max() == 1.0
            assert dataset.vocabulary is None


@pytest.mark.parametrize("name", ["cifar10", "imdb", "mnist"])
def test_standin_says_so(name, standins):
    dataset = standins[name]
    assert dataset.is_standin
    assert dataset.origin.startswith(f"stand-in for {name}: ")
    assert dataset.origin.endswith("(requested by source='standin')")
    assert dataset.origin in repr(dataset)


@pytest.mark.parametrize("name", ["cifar10", "imdb", "mnist"])
def test_standin_follows_its_seed(name, standins):
    again = data.load(name, source="standin")
    other = data.load(name, source="standin", seed=1)
    np.testing.assert_array_equal(again.x_train, standins[name].x_train)
    np.testing.assert_array_equal(again.y_test, standins[name].y_test)
    assert not np.array_equal(other.x_train, standins[name].x_train)


@pytest.mark.parametrize("name", ["cifar10", "imdb", "mnist"])
def test_standin_test_examples_are_not_in_training_set(name, standins):
    train = {row.tobytes() for row in standins[name].x_train}
    assert not any(row.tobytes() in train for row in standins[name].x_test)


def test_standin_images_have_classes_that_differ_and_overlap(standins):
    dataset = standins["cifar10"]
    x, test = (a.reshape(len(a), -1) for a in (dataset.x_train, dataset.x_test))
    means = np.stack([x[dataset.y_train == c].mean(axis=0) for c in range(10)])
    nearest = np.argmax(test @ means.T - np.sum(means**2, axis=1) / 2, axis=1)
    assert 0.2 < np.mean(nearest == dataset.y_test) < 0.9


def test_standin_reviews_have_a_mood_that_words_tell_in_part(standins):
    dataset = standins["imdb"]
    words = [dataset.decode(row).split() for row in dataset.x_test[:500]]
    balance = [
        sum((word in _reviews._GOOD) - (word in _reviews._BAD) for word in row)
        for row in words
    ]
    right = (np.array(balance) > 0) == dataset.y_test[:500]
    assert 0.65 < np.mean(right) < 0.95


@pytest.mark.parametrize("source", ["auto", "real", "standin"])
def test_xor_is_itself_from_any_source(source):
    dataset = data.load("xor", source=source)
    assert not dataset.is_standin
    assert dataset.x_test.tolist() == [[0, 0], [0, 1], [1, 0], [1, 1]]
    assert dataset.y_test.tolist() == [0, 1, 1, 0]


def test_limit_takes_the_same_number_of_each_class(standins):
    part = data.load("mnist", source="standin", limit=205, test_limit=50)
    counts = np.bincount(part.y_train)
    assert len(part.x_train) == 205
    assert set(counts.tolist()) == {20, 21}
    assert np.bincount(part.y_test).tolist() == [5] * 10
    rows = {row.tobytes() for row in standins["mnist"].x_train}
    assert all(row.tobytes() in rows for row in part.x_train)


def test_limit_alone_leaves_the_test_set_whole(standins):
    part = data.load("mnist", source="standin", limit=10)
    np.testing.assert_array_equal(part.x_test, standins["mnist"].x_test)


def test_limit_of_all_is_the_whole_set(standins):
    whole = standins["mnist"]
    part = data.load("mnist", source="standin", limit=len(whole.x_train))
    np.testing.assert_array_equal(part.x_train, whole.x_train)


def test_limit_fills_up_where_a_class_has_too_few(tmp_path):
    labels = np.array([0] * 17 + [1, 1, 2])
    write(tmp_path, "mnist", y_train=labels)
    part = data.load("mnist", source=tmp_path, limit=9)
    assert np.bincount(part.y_train).tolist() == [6, 2, 1]


def test_smaller_part_is_contained_in_larger_and_follows_seed(tmp_path):
    write(tmp_path, "mnist", **small_arrays("mnist", n=200))
    parts = {
        (limit, seed): {
            row.tobytes()
            for row in data.load("mnist", tmp_path, limit=limit, seed=seed).x_train
        }
        for limit, seed in [(30, 0), (80, 0), (30, 1)]
    }
    assert parts[30, 0] < parts[80, 0]
    assert parts[30, 0] != parts[30, 1]


@pytest.mark.parametrize("name", ["cifar10", "imdb", "mnist"])
@pytest.mark.parametrize("way", ["source", "variable"])
def test_own_folder_goes_ahead_with_its_own_sizes(name, way, tmp_path, monkeypatch):
    path = write(tmp_path, name)
    if way == "source":
        dataset = data.load(name, source=tmp_path)
    else:
        monkeypatch.setenv(data.DATA_DIR_VARIABLE, str(tmp_path))
        dataset = data.load(name, source="real")
    assert (len(dataset.x_train), len(dataset.x_test)) == (20, 10)
    assert dataset.x_train.shape[1:] == SHAPES[name][0]
    assert dataset.y_train.shape == (20,)
    assert dataset.origin == str(path)
    assert not dataset.is_standin
    if name != "imdb":
        raw = small_arrays(name)["x_train"].reshape(dataset.x_train.shape)
        np.testing.assert_array_equal(dataset.x_train, np.float32(raw / 255))


def test_standin_can_be_forced_over_own_folder(tmp_path, monkeypatch):
    write(tmp_path, "mnist")
    monkeypatch.setenv(data.DATA_DIR_VARIABLE, str(tmp_path))
    assert data.load("mnist", source="standin").is_standin


def test_reviews_are_shifted_marked_cut_and_padded_at_their_start(tmp_path):
    rows = np.empty(2, dtype=object)
    rows[:] = [[1, 5, 9], [1, 2, 3, 4, 5, 6]]
    write(tmp_path, "imdb", x_train=rows, y_train=np.array([0, 1]))
    dataset = data.load("imdb", source=tmp_path, vocabulary=10, maxlen=5)
    # word ranks move up by 3, 1 marks the start, 2 a word outside the vocabulary
    assert dataset.x_train.tolist() == [[0, 1, 4, 8, 2], [5, 6, 7, 8, 9]]
    assert dataset.vocabulary == 10


def test_decode_reads_the_word_list_beside_the_reviews(tmp_path):
    (tmp_path / "imdb_word_index.json").write_text('{"the": 1, "film": 2}')
    write(tmp_path, "imdb")
    dataset = data.load("imdb", source=tmp_path)
    assert dataset.decode(np.array([0, 0, 1, 4, 5, 2])) == "[START] the film [OOV]"


@pytest.mark.parametrize("source", ["folder", "standin"])
def test_dataset_survives_pickling(source, tmp_path):
    (tmp_path / "imdb_word_index.json").write_text('{"the": 1, "film": 2}')
    write(tmp_path, "imdb")
    dataset = data.load("imdb", source=tmp_path if source == "folder" else source)
    copy = pickle.loads(pickle.dumps(dataset))
    assert copy.decode(copy.x_test[0]) == dataset.decode(dataset.x_test[0])
    assert repr(copy) == repr(dataset)


def test_decode_gives_back_generated_reviews(standins):
    dataset = standins["imdb"]
    text = dataset.decode(dataset.x_test[1])
    known = np.count_nonzero(dataset.x_test[1])
    assert len(text.split()) == known
    assert "[OOV]" not in text


def test_decode_with_a_damaged_word_list_says_so(tmp_path):
    path = tmp_path / "imdb_word_index.json"
    path.write_text("not JSON")
    write(tmp_path, "imdb")
    dataset = data.load("imdb", source=tmp_path)
    with pytest.raises(data.DataFileError, match=re.escape(repr(str(path)))):
        dataset.decode(dataset.x_test[0])


def test_decode_refuses_images_and_batches(standins):
    text = r"^`decode` is for texts, and 'mnist' holds none"
    with pytest.raises(TypeError, match=text):
        standins["mnist"].decode([1, 2])
    text = "`ids` must be one row of integers. Received: shape=(2000, 200), dtype=int32"
    with pytest.raises(ValueError, match=re.escape(text)):
        standins["imdb"].decode(standins["imdb"].x_test)


def test_a_stand_in_gives_all_it_has_where_more_is_asked_for():
    """What is written for the real data must run where there are none."""
    dataset = data.load("mnist", source="standin", limit=12_800, test_limit=2_000)
    assert (len(dataset.x_train), len(dataset.x_test)) == (1438, 359)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"name": "cifar"},
            "`name` must be one of ('cifar10', 'imdb', 'mnist', 'xor'). "
            "Received: name='cifar'. Did you mean 'cifar10'?",
        ),
        (
            {"source": "fake"},
            "`source` must be one of ('auto', 'real', 'standin') or a folder that "
            "holds NAME.npz files. Received: source='fake', which is not a folder.",
        ),
        (
            {"name": "xor", "limit": 5},
            "`limit` must be at most 4, the number of training examples of 'xor'. "
            "Received: limit=5. Omit it to use all.",
        ),
        (
            {"name": "xor", "test_limit": 5},
            "`test_limit` must be at most 4, the number of test examples of 'xor'. "
            "Received: test_limit=5. Omit it to use all.",
        ),
        (
            {"limit": 0},
            "`limit` must be an integer of at least 1. Received: limit=0.",
        ),
        (
            {"limit": 2.5},
            "`limit` must be an integer of at least 1. Received: limit=2.5.",
        ),
        (
            {"seed": -1},
            "`seed` must be an integer of at least 0. Received: seed=-1.",
        ),
        (
            {"vocabulary": 4},
            "`vocabulary` must be an integer of at least 5. Received: vocabulary=4.",
        ),
        (
            {"maxlen": True},
            "`maxlen` must be an integer of at least 1. Received: maxlen=True.",
        ),
    ],
    ids=lambda value: list(value)[-1] if isinstance(value, dict) else "",
)
def test_bad_argument_is_named(arguments, message):
    arguments = {"name": "mnist", "source": "standin", **arguments}
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        data.load(**arguments)


def test_folder_without_the_file_is_named(tmp_path):
    write(tmp_path, "imdb")
    message = (
        f"`source` must hold the file 'mnist.npz'. Received: source='{tmp_path}', "
        "whose .npz files are ('imdb.npz',)."
    )
    with pytest.raises(data.DataUnavailableError, match=f"^{re.escape(message)}$"):
        data.load("mnist", source=str(tmp_path))


def test_variable_that_names_no_folder_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setenv(data.DATA_DIR_VARIABLE, str(tmp_path / "absent"))
    message = (
        "The environment variable KERAS_INITKIT_DATA_DIR must name a folder. "
        f"Received: KERAS_INITKIT_DATA_DIR='{tmp_path / 'absent'}'. "
        "Correct it or unset it."
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        data.load("mnist")


def test_xor_takes_no_folder(tmp_path):
    message = "`source` must be one of ('auto', 'real', 'standin') for 'xor'"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
        data.load("xor", source=tmp_path)


def rows_of(*rows):
    out = np.empty(20, dtype=object)
    out[:] = [list(row) for row in rows] + [[1]] * (20 - len(rows))
    return out


class Evil:
    def __reduce__(self):
        return (print, ("code of the file was run",))


@pytest.mark.parametrize(
    ("name", "changes", "rule"),
    [
        (
            "mnist",
            {"drop": ("x_test", "y_test")},
            "must hold the arrays ('x_train', 'y_train', 'x_test', 'y_test'). "
            "Received: missing=('x_test', 'y_test'), found=('x_train', 'y_train').",
        ),
        (
            "mnist",
            {"x_train": np.zeros((20, 32, 32, 3), np.uint8)},
            "must hold `x_train` as uint8 images of shape (n, 28, 28, 1). "
            "Received: shape=(20, 32, 32, 3), dtype=uint8.",
        ),
        (
            "cifar10",
            {"x_test": np.zeros((10, 32, 32, 3), np.float64)},
            "must hold `x_test` as uint8 images of shape (n, 32, 32, 3). "
            "Received: shape=(10, 32, 32, 3), dtype=float64.",
        ),
        (
            "mnist",
            {"y_train": np.zeros(19, np.int64)},
            "must hold one integer in `y_train` for each of the examples in "
            "`x_train`, and at least one. Received: shape=(19,), dtype=int64 for "
            "20 examples.",
        ),
        (
            "mnist",
            {"y_test": np.full(10, 10)},
            "must hold class numbers from 0 to 9 in `y_test`. Received: numbers "
            "from 10 to 10.",
        ),
        (
            "imdb",
            {"x_train": rows_of([1], [3, -1])},
            "must hold `x_train` as one row of word ranks (integers from 1, 0 is "
            "padding) a review. Received: shape=(20,), dtype=object.",
        ),
        (
            "imdb",
            {"x_train": np.zeros(20)},
            "must hold `x_train` as one row of word ranks (integers from 1, 0 is "
            "padding) a review. Received: shape=(20,), dtype=float64.",
        ),
        (
            "imdb",
            {"x_train": np.array([Evil()] * 20, dtype=object)},
            "must be an undamaged .npz file. Received: "
            "ValueError(\"the array 'x_train' cannot be read (UnpicklingError: "
            'refused to load builtins.print)").',
        ),
    ],
    ids=[
        "missing-arrays",
        "image-shape",
        "image-type",
        "label-count",
        "label-range",
        "negative-rank",
        "no-rows",
        "code-inside",
    ],
)
def test_wrong_file_is_explained(name, changes, rule, tmp_path):
    path = write(tmp_path, name, **changes)
    message = (
        f"The file '{path}' {rule} Replace the file, or remove it to load the data "
        "from another source."
    )
    with pytest.raises(data.DataFileError, match=f"^{re.escape(message)}$") as caught:
        data.load(name, source=tmp_path)
    assert caught.value.path == str(path)


@pytest.mark.parametrize("damage", ["truncated", "garbage", "flipped", "empty"])
@pytest.mark.parametrize("name", ["imdb", "mnist"])
def test_damaged_file_is_an_error_not_a_standin(name, damage, tmp_path, monkeypatch):
    path = write(tmp_path, name)
    content = bytearray(path.read_bytes())
    if damage == "truncated":
        content = content[: len(content) // 2]
    elif damage == "garbage":
        content = bytearray(b"<html>not found</html>" * 20)
    elif damage == "flipped":
        content[len(content) // 3] ^= 0xFF
    else:
        content = bytearray()
    path.write_bytes(content)
    monkeypatch.setenv(data.DATA_DIR_VARIABLE, str(tmp_path))
    rule = re.escape(f"The file '{path}' must be an undamaged .npz file. Received: ")
    with pytest.raises(data.DataFileError, match=f"^{rule}"):
        data.load(name)
    assert path.exists()


def test_cache_in_unwritable_home_is_read_directly(tmp_path, monkeypatch):
    (tmp_path / "datasets").mkdir()
    path = write(tmp_path / "datasets", "mnist")
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    real_access = _real.os.access
    monkeypatch.setattr(
        _real.os,
        "access",
        lambda p, mode: str(p) != str(tmp_path) and real_access(p, mode),
    )
    dataset = data.load("mnist", source="real")
    assert dataset.origin == f"keras.datasets.mnist (read from '{path}')"
    assert len(dataset.x_train) == 20


def test_download_that_proves_wrong_is_removed(tmp_path, monkeypatch):
    (tmp_path / "datasets").mkdir()
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))

    def download_a_login_page():
        (tmp_path / "datasets" / "mnist.npz").write_text("<html>")
        print("progress")
        raise ValueError("Incomplete or corrupted file detected.")

    monkeypatch.setattr(_real.keras.datasets.mnist, "load_data", download_a_login_page)
    with pytest.raises(data.DataUnavailableError, match="Incomplete or corrupted"):
        data.load("mnist", source="real")
    assert list((tmp_path / "datasets").iterdir()) == []


def test_no_warning_where_a_standin_is_asked_for():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert data.load("mnist", source="standin").is_standin
