"""The view of differences: what it says of two runs is what `record.diff` says."""

import keras
import numpy as np
import pytest
import tab_page

import keras_initkit as kik
from keras_initkit import schema

# One worker for all tests in this directory: they share a server and a browser.
pytestmark = pytest.mark.xdist_group("browser")

RUNS = {"slow": 0.01, "quick": 0.5}


def train(log_dir, rate):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(64, 6)).astype("float32")
    keras.utils.set_random_seed(0)
    stack = [keras.layers.Dense(5, "relu", name="one"), keras.layers.Dense(1)]
    model = keras.Sequential([keras.layers.Input((6,)), *stack])
    model.compile(keras.optimizers.SGD(rate), "mse")
    monitor = kik.SignalMonitor(log_dir, every=2, rules=(), histograms=False)
    options = {"shuffle": False, "verbose": 0, "callbacks": [monitor]}
    model.fit(x, x[:, :1], batch_size=8, epochs=2, **options)
    return kik.RunRecord.load(log_dir)


@pytest.fixture(scope="module")
def pair(tmp_path_factory, browser):
    """Records of two runs that part when they are updated, and a TensorBoard."""
    root = tmp_path_factory.mktemp("pair")
    records = {name: train(root / name, rate) for name, rate in RUNS.items()}
    with tab_page.tensorboard(root) as address:
        yield records, address


def test_two_runs_layer_by_layer_and_where_they_part(pair, page):
    records, address = pair
    frame = page.open(address, view="difference", run="slow", signal="weight")
    slow, quick = records["slow"], records["quick"]
    keys, ours = slow.profile("weight", "rms")
    _, theirs = quick.profile("weight", "rms")
    kernels = [i for i, key in enumerate(keys) if key.tensor == "kernel"]
    rows = page.csv()
    assert [float(row["ratio"]) for row in rows] == pytest.approx(
        (ours[kernels] / theirs[kernels]).tolist(), rel=1e-6
    )
    assert {row["step"] for row in rows} == {"14"}

    first = slow.diff(quick).first
    text = frame.locator(".parting").inner_text()
    key = schema.TensorKey(first.layer, first.tensor, first.call)
    assert (first.step, first.signal) == (0, "update")
    assert f"first differ at step {first.step}, {first.signal} {key.label}: rms" in text
    assert "matched by position" in text

    page.key("figure canvas >> nth=0", "Home")
    assert frame.locator(".tip-title").inner_text() == keys[kernels[0]].label
    values = (ours[kernels[0]], theirs[kernels[0]])
    shown = dict(zip(RUNS, ([tab_page.number(v)] for v in values), strict=True))
    assert {name: page.tip()[name] for name in RUNS} == shown


def test_steps_of_one_run(pair, page):
    records, address = pair
    frame = page.open(
        address, view="difference", run="quick", signal="weight", against="/", step="6"
    )
    _, first = records["quick"].profile("weight", "rms", step=0)
    _, now = records["quick"].profile("weight", "rms", step=6)
    rows = page.csv()
    kernels = [0, 2]
    assert [float(row["ratio"]) for row in rows] == pytest.approx(
        (now[kernels] / first[kernels]).tolist(), rel=1e-6
    )
    assert list(rows[0])[4:6] == ["step 6", "step 0"]
    assert "at step 6, against its own first step" in (
        frame.locator(".parting").inner_text()
    )
    # What may be negative has a difference, no ratio.
    frame.get_by_label("Statistic").select_option("mean")
    page.settle()
    assert "difference" in page.csv()[0]


# Names of two lists of tensors, and which rows are the same.
MATCHED = """async ([ours, theirs]) => {
  const { matched } = await import('./static/difference.js');
  return Object.values(matched(ours, theirs));
}"""


SAME_TENSORS = [
    (["a", "b"], ["b", "a"], [[0, 1], [1, 0]], False),
    (["a", "b"], ["b", "c"], [[1, 0]], False),
    (["s/d", "s/d_1:k"], ["s_4/d_2", "s_4/d_3:k"], [[0, 0], [1, 1]], True),
    (["d", "d_1"], ["d_2:k", "d_3:k"], [], False),
    (["a"], [], [], False),
]


def test_tensors_are_matched_as_record_diff_does(pair, page):
    frame = page.open(pair[1])
    for ours, theirs, pairs, by_place in SAME_TENSORS:
        assert frame.evaluate(MATCHED, [ours, theirs]) == [pairs, by_place]
        keys = (tuple(map(schema.TensorKey.from_label, one)) for one in (ours, theirs))
        rows, told = kik.recording.difference._matched(*keys)
        assert [[*map(list, rows)], told] == [pairs, by_place]


# The first number that differs, of series of one tensor each at steps 0 and 5.
FIRST = """async (series) => {
  const { firstParting } = await import('./static/difference.js');
  const parts = (values) => [
    { names: ['a', 'b'], steps: [0, 5], values: new Float32Array(values) },
  ];
  const found = firstParting(series.map(([signal, ours, theirs]) => (
    { signal, ours: parts(ours), theirs: parts(theirs) })));
  return found && [found.step, found.signal, found.name];
}"""
SAME = [1, 2, 3, 4]


FIRST_OF = [
    ([["weight", SAME, SAME], ["activation", SAME, SAME]], None),
    # The earlier step, then what comes earlier in a step.
    (
        [["weight", SAME, [1, 2, 9, 4]], ["update", SAME, [9, 2, 3, 4]]],
        [0, "update", "a"],
    ),
    (
        [["update", SAME, [1, 9, 3, 4]], ["weight", SAME, [1, 9, 3, 4]]],
        [0, "weight", "b"],
    ),
    # Forward from the first layer, backward from the last.
    ([["activation", SAME, [9, 9, 3, 4]]], [0, "activation", "a"]),
    ([["backprop", SAME, [9, 9, 3, 4]]], [0, "backprop", "b"]),
    (
        [["activation", SAME, [9, 2, 3, 4]], ["preactivation", SAME, [9, 2, 3, 4]]],
        [0, "preactivation", "a"],
    ),
]


def test_the_first_number_that_differs(pair, page):
    frame = page.open(pair[1])
    for series, first in FIRST_OF:
        assert frame.evaluate(FIRST, series) == first
