"""`RunRecord` in memory, to disk and back."""

import re

import numpy as np
import pytest

from keras_initkit import RunRecord, schema
from keras_initkit.recording import RunWriter
from keras_initkit.recording.kinds import KINDS
from keras_initkit_light.format import packing
from keras_initkit_light.format import schema as light_schema

KEYS = (
    schema.TensorKey("a", "output"),
    schema.TensorKey("b@c", "output_1", 2),
)
COLUMNS = schema.statistics_of("activation")


def bound(monkeypatch, kind, steps):
    """Has records hold so few steps of a kind of matrices."""
    monkeypatch.setitem(KINDS, kind, KINDS[kind]._replace(max_steps=steps))


def filled(writer=None, steps=(0, 10, 20), record=None):
    """A record of two tensors with a value for each step, row and column."""
    record = record or RunRecord()
    record.metadata["layers"] = [{"path": "a"}]
    if writer:
        writer.write_run(0, record.metadata)
    for step in steps:
        values = np.arange(len(KEYS) * len(COLUMNS), dtype=float).reshape(2, -1) + step
        values[0, 0] = np.nan
        record.add("activation", KEYS, step, values)
        counts = np.ones((2, 2048), np.int32)
        share = np.full((2, len(schema.HISTOGRAM_COLUMNS)), 0.01)
        record.add_histogram("activation", step, share)
        time = np.full((1, schema.TIME_STEPS), np.nan)
        time[0, :5] = np.arange(5) + step
        record.add_time_steps("activation", step, KEYS[1:], time)
        record.add_scalars(step, {"loss": step / 7, "accuracy": 0.5})
        if writer:
            writer.write_step(step, record, ("activation",), {"activation": counts})
            writer.write_metrics(step, {"loss": step / 7, "accuracy": 0.5})
    if writer:
        writer.close()
    return record


def assert_same(one, other):
    assert list(one.series) == list(other.series)
    for store in ("series", "histograms", "time_steps"):
        ours, theirs = getattr(one, store), getattr(other, store)
        assert ours.keys() == theirs.keys()
        for a, b in ((ours[name], theirs[name]) for name in ours):
            assert (a.signal, a.tensors, a.statistics) == (
                b.signal,
                b.tensors,
                b.statistics,
            )
            np.testing.assert_array_equal(a.steps, b.steps)
            np.testing.assert_array_equal(a.values, b.values)
    assert one.metadata == other.metadata
    assert one.scalars.keys() == other.scalars.keys()
    for name, (steps, values) in one.scalars.items():
        assert other.scalars[name][0] == steps
        np.testing.assert_array_equal(np.float32(values), other.scalars[name][1])


def test_record_read_back_is_the_record_written(tmp_path):
    record = filled(RunWriter(tmp_path))
    assert_same(record, RunRecord.load(tmp_path))


def test_truncated_file_is_read_up_to_where_it_ends_and_says_so(tmp_path):
    steps = list(range(2 + packing.MOST_STEPS))
    filled(RunWriter(tmp_path), steps)
    (file,) = tmp_path.glob("*tfevents*")
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) * 3 // 4])
    loaded = RunRecord.load(tmp_path)
    kept = loaded.series["activation"].steps.tolist()
    assert kept == steps[: len(kept)]
    assert 0 < len(kept) < len(steps)
    told = [one.what for one in loaded.missing]
    assert "bytes that are not a complete event" in told[0]
    assert "it was not closed" in told[-1]


def continuing(writer):
    return RunWriter(writer.identity.directory, lambda: writer.identity)


def test_continued_run_keeps_the_later_values(tmp_path):
    writer = RunWriter(tmp_path)
    filled(writer)
    record = filled(continuing(writer), steps=(10, 20, 30))
    loaded = RunRecord.load(tmp_path)
    assert not loaded.missing
    series = loaded.series["activation"]
    assert series.steps.tolist() == [0, 10, 20, 30]
    np.testing.assert_array_equal(series.values[1:], record.series["activation"].values)

    filled(continuing(writer), steps=(0,))
    assert RunRecord.load(tmp_path).series["activation"].steps.tolist() == [0]
    (run,) = RunRecord.runs(tmp_path)
    assert (run.fits, len(run.files)) == (2, 3)


def test_prediction_is_passed_over(tmp_path):
    writer = RunWriter(tmp_path)
    writer.write_prediction(0, "activation", KEYS, np.array([1.0, 2.0]))
    assert_same(filled(writer), RunRecord.load(tmp_path))


def test_data_of_another_version_is_skipped_with_a_warning(
    tmp_path, monkeypatch, caplog
):
    monkeypatch.setattr(light_schema, "DATA_VERSION", 99)
    filled(RunWriter(tmp_path))
    monkeypatch.undo()
    loaded = RunRecord.load(tmp_path)
    assert not loaded.series
    assert "it has data version 99; this program reads version 4" in caplog.text
    assert any("'initkit/activation'" in one.what for one in loaded.missing)


def test_record_of_an_older_layout_is_skipped_with_a_warning(tmp_path, caplog):
    (tmp_path / "initkit").mkdir()
    (tmp_path / "initkit" / "events.out.tfevents.1.host.1.1.initkit").touch()
    loaded = RunRecord.load(tmp_path)
    assert not loaded.series
    assert "data version 3 or earlier" in caplog.text
    assert len(loaded.missing) == 1
    # A new run does not go where stock dashboards would mix the two.
    filled(RunWriter(tmp_path))
    assert RunRecord.load(tmp_path).series["activation"].steps.tolist() == [0, 10, 20]
    assert [run.log_dir for run in RunRecord.runs(tmp_path)] == [
        str(tmp_path / "run-2")
    ]


def test_load_without_a_record_names_the_directory(tmp_path):
    with pytest.raises(FileNotFoundError, match=re.escape(repr(str(tmp_path)))):
        RunRecord.load(tmp_path)


def test_changed_rows_go_to_a_series_of_their_own():
    record = filled()
    record.add("activation", KEYS[:1], 30, np.zeros((1, len(COLUMNS))))
    assert list(record.series) == ["activation", "activation#1"]
    assert record.signal("activation").steps.tolist() == [30]


def test_record_that_begins_anew_goes_on_in_new_series():
    record = filled()
    record.begin_anew()
    filled(steps=(30,), record=record)
    for store in (record.series, record.histograms, record.time_steps):
        steps = {name: series.steps.tolist() for name, series in store.items()}
        assert steps == {"activation": [0, 10, 20], "activation#1": [30]}


def test_endless_run_keeps_its_start_its_end_and_even_spacing(tmp_path, monkeypatch):
    bound(monkeypatch, "statistics", 16)
    bound(monkeypatch, "histogram", 8)
    steps = range(0, 1000, 10)
    record = filled(RunWriter(tmp_path), steps)
    kept = record.series["activation"].steps.tolist()
    assert len(kept) <= 16
    assert kept[:3] == [0, 320, 640]
    newest = kept[3:]
    assert len(newest) >= 8
    assert newest == list(steps)[-len(newest) :]
    assert record.scalars["loss"][0] == kept
    assert len(record.histograms["activation"]) <= 8
    assert len(record.time_steps["activation"]) == len(steps)
    np.testing.assert_array_equal(
        record.series["activation"].values[:, 0, 1], np.array(kept) + 1
    )
    assert_same(record, RunRecord.load(tmp_path))
    assert RunRecord.load(tmp_path, thin=False).series["activation"].steps.tolist() == (
        list(steps)
    )


def test_values_handed_out_stay_as_they_were(monkeypatch):
    bound(monkeypatch, "statistics", 16)
    record, handed_out = RunRecord(), []
    for step in range(40):
        filled(steps=[step], record=record)
        values = record.series["activation"].values
        handed_out.append((values, values.copy()))
    for values, copy in handed_out:
        np.testing.assert_array_equal(values, copy)
    with pytest.raises(ValueError, match="read-only"):
        values[0] = 1


def test_dataframe_is_tidy():
    frame = filled().to_dataframe()
    assert list(frame.columns) == [
        *("step", "signal", "layer", "tensor", "call"),
        *schema.STATISTICS,
    ]
    assert len(frame) == 3 * 2
    row = frame[(frame.step == 10) & (frame.layer == "b@c")].iloc[0]
    assert (row.signal, row.tensor, row.call) == ("activation", "output_1", 2)
    assert row["std"] == len(COLUMNS) + COLUMNS.index("std") + 10


def test_profile_gives_a_statistic_against_depth():
    keys, values = filled().profile("activation", "std", step=20)
    assert keys == KEYS
    at = COLUMNS.index("std")
    assert values.tolist() == [at + 20, len(COLUMNS) + at + 20]
    with pytest.raises(KeyError, match=re.escape("one of [0, 10, 20]")):
        filled().profile("activation", "std", step=5)
    with pytest.raises(KeyError, match="Received: signal='gradient'"):
        filled().profile("gradient", "rms")


def test_through_time_gives_the_rms_of_each_step_of_a_sequence():
    record = filled()
    label = KEYS[1].label
    assert record.through_time("activation", label).tolist() == [20, 21, 22, 23, 24]
    early = record.through_time("activation", "b@c", step=0)
    assert early.tolist() == [0, 1, 2, 3, 4]
    with pytest.raises(KeyError, match="Received: signal='backprop'"):
        record.through_time("backprop", "b@c")
    with pytest.raises(KeyError, match="Received: layer='a'"):
        record.through_time("activation", "a")


def test_matrix_of_another_shape_is_refused():
    record = filled()
    with pytest.raises(ValueError, match=re.escape("Received: shape=(3, 2)")):
        record.series["activation"].append(40, np.zeros((3, 2)))
