"""A record as CSV and JSON: equal values back, and no half-written file."""

import csv
import errno
import json
import pathlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_initkit import RunRecord, schema
from keras_initkit.recording import RunDamagedError, export
from keras_initkit_light.format import schema as light_schema

KEYS = (schema.TensorKey("a", "kernel"), schema.TensorKey('b, "@c"', "kernel", 2))


def filled():
    record = RunRecord(metadata={"model": "é", "standin": False})
    columns = len(schema.statistics_of("gradient"))
    for step in (0, 10):
        values = np.linspace(-3, 5e9, 2 * columns).reshape(2, -1) / 7 + step
        values[0, :3] = (np.nan, np.inf, -np.inf)
        record.add("gradient", KEYS, step, values)
        record.add_scalars(step, {"loss": np.inf if step else 1 / 3})
    columns = len(schema.statistics_of("activation"))
    record.add("activation", KEYS[:1], 0, np.ones((1, columns)))
    record.add_histogram("activation", 0, np.ones((1, len(schema.HISTOGRAM_COLUMNS))))
    record.add_time_steps("activation", 0, KEYS[:1], np.ones((1, schema.TIME_STEPS)))
    return record


def test_json_gives_an_equal_record_back(tmp_path):
    record = filled()
    record.to_json(tmp_path / "run.json")
    text = (tmp_path / "run.json").read_text()
    json.loads(text, parse_constant=lambda name: pytest.fail(f"not JSON: {name}"))
    back = RunRecord.from_json(tmp_path / "run.json")
    assert (back.metadata, back.scalars) == (record.metadata, record.scalars)
    for store in ("series", "histograms", "time_steps"):
        ours, theirs = getattr(record, store), getattr(back, store)
        assert list(ours) == list(theirs)
        assert ours
        for name, series in ours.items():
            other = theirs[name]
            assert (series.signal, series.tensors) == (other.signal, other.tensors)
            assert series.statistics == other.statistics
            assert series.steps.tolist() == other.steps.tolist()
            np.testing.assert_array_equal(series.values, other.values)
    back.add("gradient", KEYS, 20, back.series["gradient"].last())
    assert back.series["gradient"].steps.tolist() == [0, 10, 20]


@given(st.floats(width=32))
def test_nine_digits_give_a_float32_back(value):
    assert np.array_equal(np.float32(f"{value:.9g}"), np.float32(value), equal_nan=True)


def test_csv_has_the_rows_and_columns_of_the_dataframe(tmp_path):
    pytest.importorskip("pandas")
    record = filled()
    record.to_csv(tmp_path / "run.csv")
    frame = record.to_dataframe()
    with (tmp_path / "run.csv").open(newline="") as file:
        header, *rows = csv.reader(file)
    assert header == list(frame.columns)
    assert len(rows) == len(frame) == 5
    assert {row[header.index("dead_fraction")] for row in rows} == {"", "1"}
    for name in header:
        written = [row[header.index(name)] for row in rows]
        if name in schema.STATISTICS:
            expected = np.float32(frame[name].to_numpy())
            np.testing.assert_array_equal(
                np.float32([float(text or "nan") for text in written]), expected
            )
        else:
            assert written == frame[name].astype(str).tolist()


@pytest.mark.parametrize("method", ["to_csv", "to_json"])
def test_failed_export_leaves_what_was_there(tmp_path, monkeypatch, method):
    path = tmp_path / "run"
    path.write_text("before")
    replaced = []

    def replace(self, target):
        replaced.append(self.stat().st_size)
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(pathlib.Path, "replace", replace)
    with pytest.raises(OSError, match="No space left"):
        getattr(filled(), method)(path)
    assert replaced[0] > 100
    assert [file.name for file in tmp_path.iterdir()] == ["run"]
    assert path.read_text() == "before"


def test_other_and_newer_files_are_refused(tmp_path, monkeypatch):
    path = tmp_path / "run.json"
    path.write_text('{"v": 1}')
    with pytest.raises(
        RunDamagedError, match=r"differs from what `RunRecord\.to_json` wrote"
    ):
        RunRecord.from_json(path)
    monkeypatch.setattr(light_schema, "DATA_VERSION", 7)
    export.write_json(filled(), path)
    monkeypatch.undo()
    with pytest.raises(ValueError, match=r"of version 7$"):
        RunRecord.from_json(path)


def test_a_record_of_before_has_no_checksum(tmp_path):
    path, record = tmp_path / "record.json", filled()
    record.to_json(path)
    content = {**json.loads(path.read_text()), "v": 3}
    del content["crc32"]
    path.write_text(json.dumps(content))
    assert RunRecord.from_json(path).diff(record).equal


def damaged_json(text, rng):
    """Returns JSON of before in which something is damaged: characters, or a value."""
    while says_the_same(changed := changed_json(text, rng), text):
        pass
    return changed


def says_the_same(one, other):
    try:
        return json.dumps(json.loads(one)) == json.dumps(json.loads(other))
    except ValueError:
        return False


def changed_json(text, rng):
    if rng.random() < 0.5:
        at = int(rng.integers(len(text)))
        size = int(rng.integers(1, 20))
        put = rng.choice(["", "x", '"', "[", "null", "1e999", "}"])
        return text[:at] + put + text[at + size :]
    content = json.loads(text)
    holder, key = content, rng.choice(sorted(content.keys() - {"v"}))
    while isinstance(holder[key], dict | list) and holder[key] and rng.random() < 0.8:
        holder = holder[key]
        keys = [*holder] if isinstance(holder, dict) else range(len(holder))
        key = keys[int(rng.integers(len(keys)))]
    odd = [None, 3, -1.5, "x", [], {}, True, [[1]], "NaN", 10**400]
    holder[key] = odd[int(rng.integers(len(odd)))]
    return json.dumps(content)


def test_damage_to_json_is_one_error_that_names_the_file(tmp_path):
    path = tmp_path / "record.json"
    filled().to_json(path)
    text, rng = path.read_text(), np.random.default_rng(0)
    for version in ("4", "3"):
        written = text.replace('{"v": 4', '{"v": ' + version)
        refused = 0
        for _ in range(150):
            changed = damaged_json(written, rng)
            path.write_text(changed)
            try:
                RunRecord.from_json(path)
            except RunDamagedError as error:
                assert str(path) in str(error)  # noqa: PT017
                refused += 1
        # Without a checksum, one number in place of another is none that can be seen.
        assert refused == 150 if version == "4" else refused > 100


@pytest.mark.parametrize("text", ["", "[" * 100_000, '{"v": "3"}', "1" * 5000])
def test_what_is_no_record_is_one_error(tmp_path, text):
    path = tmp_path / "record.json"
    path.write_text(text)
    with pytest.raises(RunDamagedError, match="cannot be read"):
        RunRecord.from_json(path)
