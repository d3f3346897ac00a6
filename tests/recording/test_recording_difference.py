"""Where two records part, and what only one of them holds."""

import json
import time

import keras
import numpy as np
import pytest

from keras_initkit import RunRecord, SignalMonitor, schema

LAYERS = ("a", "b", "c")
SIGNALS = ("activation", "backprop", "gradient", "update", "weight", "preactivation")


def keys_of(signal, layers=LAYERS):
    of_layer = schema.SIGNALS[signal].source == "layer"
    return tuple(
        schema.TensorKey(name, "output" if of_layer else "kernel") for name in layers
    )


def a_record(steps=(0, 10, 20), changes=(), layers=LAYERS, signals=SIGNALS):
    """A record of ones, `changes` being `(signal, step, layer, statistic, value)`."""
    record = RunRecord()
    for step in steps:
        for signal in signals:
            names = schema.statistics_of(signal)
            values = np.ones((len(layers), len(names)), np.float32)
            values[0, names.index("min")] = np.nan
            for which, when, layer, statistic, value in changes:
                if (which, when) == (signal, step):
                    values[layers.index(layer), names.index(statistic)] = value
            record.add(signal, keys_of(signal, layers), step, values)
        record.add_scalars(step, {"loss": 0.5, schema.OVERHEAD: time.monotonic()})
    return record


def place(difference):
    return difference.step, difference.signal, difference.layer, difference.statistic


def test_equal_records_say_so():
    found = a_record().diff(a_record())
    assert found.equal
    assert found.first is None
    assert str(found) == "the records are equal, over 3 steps"
    assert json.loads(json.dumps(found.to_dict()))["equal"] is True


def test_first_difference_is_that_of_the_earliest_step():
    other = a_record(
        changes=[
            ("update", 10, "c", "rms", 1.5),
            ("activation", 20, "a", "mean", 9),
        ]
    )
    found = a_record().diff(other)
    assert place(found.first) == (10, "update", "c", "rms")
    assert (found.first.value, found.first.other) == (1, 1.5)
    assert (found.first.absolute, found.first.relative) == (0.5, 0.5 / 1.5)
    assert "step 10: rms of update c:kernel is 1 here and 1.5 there" in str(found)


def test_within_a_step_the_pass_tells_what_is_first():
    in_order = [
        ("weight", 10, "c", "rms", 2),
        ("activation", 10, "a", "std", 2),
        ("preactivation", 10, "b", "std", 2),
        ("activation", 10, "b", "std", 2),
        ("backprop", 10, "c", "std", 2),
        ("backprop", 10, "a", "std", 2),
        ("gradient", 10, "b", "std", 2),
        ("gradient", 10, "a", "std", 2),
        ("update", 10, "a", "std", 2),
    ]
    for number, change in enumerate(in_order):
        found = a_record().diff(a_record(changes=in_order[number:]))
        signal, step, layer, statistic, _ = change
        assert place(found.first) == (step, signal, layer, statistic)


def test_metrics_stand_between_forward_and_backward():
    other = a_record(changes=[("backprop", 10, "c", "rms", 2)])
    other.scalars["loss"][1][1] = 0.75
    first = a_record().diff(other).first
    assert place(first) == (10, "metrics", None, "loss")
    other = a_record(changes=[("activation", 10, "c", "rms", 2)])
    other.scalars["loss"][1][1] = 0.75
    assert a_record().diff(other).first.signal == "activation"


def test_nan_equals_nan_and_nothing_else():
    changed = a_record(changes=[("activation", 0, "b", "rms", np.nan)])
    assert changed.diff(changed).equal
    first = a_record().diff(changed).first
    assert np.isnan(first.other)
    assert (first.absolute, first.relative) == (np.inf, np.inf)
    content = a_record().diff(changed).to_dict()["first"]
    assert (content["other"], content["absolute"]) == ("NaN", "Infinity")


def test_infinities_of_one_sign_are_equal():
    up = a_record(changes=[("activation", 0, "b", "max", np.inf)])
    down = a_record(changes=[("activation", 0, "b", "max", -np.inf)])
    assert up.diff(up).equal
    assert up.diff(down).first.absolute == np.inf


def test_zero_and_minus_zero_are_equal():
    zero = a_record(changes=[("activation", 0, "b", "mean", 0.0)])
    minus = a_record(changes=[("activation", 0, "b", "mean", -0.0)])
    assert zero.diff(minus).equal


def test_tolerance_is_relative_and_of_a_mean_to_the_rms():
    near = a_record(changes=[("activation", 10, "b", "rms", 1.001)])
    assert a_record().diff(near).first.statistic == "rms"
    assert a_record().diff(near, tolerance=2e-3).equal
    assert a_record().diff(near, tolerance=5e-4).first is not None
    one = a_record(changes=[("activation", 0, "b", "mean", 1e-9)])
    other = a_record(changes=[("activation", 0, "b", "mean", -1e-9)])
    assert one.diff(other).first.relative == pytest.approx(2e-9)
    assert one.diff(other, tolerance=1e-6).equal


@pytest.mark.parametrize("tolerance", [-1, float("nan"), float("inf"), True])
def test_tolerance_must_be_a_number(tolerance):
    with pytest.raises(ValueError, match="`tolerance` must be a relative difference"):
        a_record().diff(a_record(), tolerance=tolerance)


def test_other_must_be_a_record():
    with pytest.raises(TypeError, match=r"`other` must be a `RunRecord`; .*load"):
        a_record().diff("logs/run")


def test_growth_is_the_largest_of_each_common_step():
    other = a_record(
        steps=(0, 5, 10, 20),
        changes=[
            ("activation", 10, "b", "rms", 2),
            ("activation", 20, "b", "rms", 4),
            ("activation", 20, "a", "norm", 2),
        ],
    )
    steps, relative = a_record().diff(other).growth["activation"]
    assert steps.tolist() == [0, 10, 20]
    assert relative.tolist() == [0, 0.5, 0.75]


def test_what_one_alone_holds_is_told():
    one = a_record(signals=("activation", "weight"))
    one.add_scalars(20, {"accuracy": 1.0})
    other = a_record(
        steps=(0, 20, 30), layers=("a", "b", "d"), signals=("activation", "update")
    )
    found = one.diff(other)
    assert not found.equal
    assert found.first is None
    assert found.only_self.signals == ("weight",)
    assert found.only_other.signals == ("update",)
    assert found.only_self.metrics == ("accuracy",)
    assert found.only_self.tensors == {"activation": ("c",)}
    assert found.only_other.tensors == {"activation": ("d",)}
    assert found.only_self.steps == {"activation": (10,)}
    assert found.only_other.steps == {"activation": (30,)}
    assert "everything that both hold is equal, over 2 steps" in str(found)
    assert "only there: steps of activation: 30" in str(found)


def test_records_without_a_common_step_say_so():
    found = a_record(steps=(0,)).diff(a_record(steps=(5,)))
    assert not found.equal
    assert "no step in common" in str(found)
    assert RunRecord().diff(a_record()).only_other.signals == SIGNALS
    assert RunRecord().diff(RunRecord()).equal


def test_steps_that_begin_anew_are_compared_one_by_one():
    def twice(*changes):
        record = a_record()
        record.begin_anew()
        names = schema.statistics_of("activation")
        for step in (0, 10):
            values = np.ones((3, len(names)), np.float32)
            values[0, 0] = dict(changes).get(step, 1)
            record.add("activation", keys_of("activation"), step, values)
        return record

    assert twice().diff(twice()).equal
    found = twice().diff(twice((0, 7)))
    assert place(found.first) == (0, "activation", "a", "mean")
    # An earlier difference of the first round comes first, whatever its number.
    later = twice((0, 7))
    later.series["update"]._values[2, 1, 2] = 5
    assert place(twice().diff(later).first) == (20, "update", "b", "rms")


def test_split_series_are_compared_by_their_steps():
    split = a_record(steps=(0, 10))
    split.begin_anew()
    rest = a_record(steps=(20,))
    for signal in SIGNALS:
        split.add(signal, keys_of(signal), 20, rest.series[signal].last())
    split.add_scalars(20, {"loss": 0.5})
    assert "activation#1" in split.series
    assert a_record().diff(split).equal


def test_histograms_and_time_count():
    def with_more(share=0.01, rms=1.0):
        record = a_record(steps=(0,))
        record.add_histogram(
            "activation", 0, np.full((3, len(schema.HISTOGRAM_COLUMNS)), share)
        )
        time = np.full((1, schema.TIME_STEPS), np.nan)
        time[0, :4] = rms
        record.add_time_steps("activation", 0, keys_of("activation")[1:2], time)
        return record

    assert with_more().diff(with_more()).equal
    first = with_more().diff(with_more(share=0.02)).first
    assert (first.kind, first.layer, first.statistic) == ("histogram", "a", "zero")
    assert first.relative == pytest.approx(0.01)
    first = with_more().diff(with_more(rms=2.0)).first
    assert (first.kind, first.layer, first.statistic) == ("time", "b", "0")


def test_numbered_names_are_matched_by_place():
    one = a_record(layers=("dense", "dense_1", "out"))
    other = a_record(
        layers=("dense_2", "dense_3", "out"),
        changes=[("update", 10, "dense_3", "rms", 2)],
    )
    found = one.diff(other)
    assert place(found.first) == (10, "update", "dense_1", "rms")
    assert not found.only_self
    assert not found.only_other
    assert "activation" in found.by_place
    assert "matched by position" in str(found)
    # The same names in another order are matched by name.
    swapped = a_record(layers=("dense_1", "dense", "out"), signals=("update",))
    first = a_record(layers=("dense", "dense_1", "out"), signals=("update",))
    # Behind the steps there is room for others, which holds anything.
    held = [
        one.series["update"]._values[: len(one.series["update"])]
        for one in (first, swapped)
    ]
    for values in held:
        values[np.isnan(values)] = 1.0
    held[1][:, 0] *= 3
    assert place(first.diff(swapped).first)[2] == "dense_1"


def fitted(log_dir=None, rate=0.01):
    keras.utils.set_random_seed(0)
    layers = [keras.layers.Dense(8, "relu", name="h"), keras.layers.Dense(1, name="o")]
    model = keras.Sequential([keras.layers.Input((4,)), *layers], name="net")
    model.compile(keras.optimizers.SGD(rate), "mse")
    monitor = SignalMonitor(log_dir, every=2, rules=None)
    x = np.random.default_rng(0).normal(size=(64, 4)).astype("float32")
    model.fit(x, x[:, :1], batch_size=8, verbose=0, callbacks=[monitor])
    return monitor.record


def test_real_runs_in_memory_and_from_files(tmp_path):
    one, same = fitted(tmp_path), fitted()
    assert one.diff(same).equal
    assert RunRecord.load(tmp_path).diff(same).equal
    assert same.diff(RunRecord.load(tmp_path)).equal
    one.to_json(tmp_path / "record.json")
    assert same.diff(RunRecord.from_json(tmp_path / "record.json")).equal
    found = same.diff(fitted(rate=0.02))
    # Another learning rate is seen in the first update, and nowhere ahead of it.
    assert place(found.first)[:3] == (0, "update", "net/h")
    assert found.first.other == pytest.approx(2 * found.first.value, rel=1e-3)
    _, relative = found.growth["activation"]
    assert relative[0] == 0
    assert relative[-1] > 0


def test_plot_draws_each_signal(tmp_path):
    other = a_record(changes=[("update", 10, "c", "rms", 1.5)])
    figure = a_record().diff(other).plot(tmp_path / "diff.png")
    names = {line.get_label() for line in figure.axes[0].get_lines()}
    assert names == {*SIGNALS, "metrics"}
    assert (tmp_path / "diff.png").stat().st_size > 1000
    RunRecord().diff(RunRecord()).plot()
