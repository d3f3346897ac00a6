"""What the routes of the tab answer, over real event files and both readers."""

import gzip
import json
import re
import subprocess
import sys
import types

import numpy as np
import pytest
import tab_logs as logs
from tab_readers import ROOT, Tab, python_provider
from tensorboard import context
from tensorboard.compat.proto import event_pb2

from keras_initkit import schema
from keras_initkit.recording import RunRecord
from keras_initkit.recording.log import frames
from keras_initkit_light.format import packing
from keras_initkit_light.tab import data, plugin
from keras_initkit_light.tab.parts import Cache, Chunks, Sampling, _sampled


def run_of(index, name):
    (found,) = [run for run in index["runs"] if run["name"] == name]
    return found


def series_of(index, name):
    return {
        (s["kind"], s["signal"], s["part"]): s for s in run_of(index, name)["series"]
    }


def test_index_lists_runs_series_and_words(tab):
    index = tab.json("/index")

    assert index["version"] == schema.DATA_VERSION
    assert list(index["signals"]) == list(schema.ALL_SIGNALS)
    assert index["statistics"]["rms"]["minimum"] == 0
    assert index["statistics"]["mean"]["minimum"] == "-Infinity"
    full = run_of(index, "full")
    assert full["run"] == "full"
    assert full["hparams"] == {"initializer": "he_normal", "seed": 3.0}
    assert full["notes"] == []
    series = series_of(index, "full")
    assert set(series) == {
        ("statistics", "activation", 0),
        ("statistics", "gradient", 0),
        ("histogram", "activation", 0),
        ("time", "activation", 0),
        ("prediction", "activation", 0),
        ("metrics", "", 0),
    }
    activation = series["statistics", "activation", 0]
    assert index["tables"][activation["tensors"]] == list(logs.LAYERS)
    assert index["tables"][activation["columns"]] == list(
        schema.statistics_of("activation")
    )


@pytest.mark.parametrize("statistic", schema.statistics_of("activation"))
def test_statistic_equals_the_record(tab, log_dir, statistic):
    record = RunRecord.load(log_dir / "full").signal("activation")

    found = tab.values("/statistic", signal="activation", column=statistic)
    ((names, steps, values),) = found["full"]

    assert names == [key.label for key in record.tensors]
    assert steps == list(logs.STEPS) == record.steps.tolist()
    np.testing.assert_array_equal(values, record.statistic(statistic))


def test_statistic_of_norms_has_all_their_steps(tmp_path, reader):
    run = logs.Run(tmp_path / "both")
    tensors = logs.keys(*logs.LAYERS)
    full = schema.statistics_of("activation")
    for step in logs.STEPS:
        values = logs.matrix(len(tensors), step)
        seen = types.SimpleNamespace(keys=tensors, columns=full, statistics=values)
        run.record.add_norms(step, {"activation": seen})
        run.writer.write_norms(step, run.record, ("activation",))
        if step % 10 == 0:
            run.step(step, tensors)
    record = run.close()
    with reader(tmp_path, plugin.KEPT_CHUNKS) as provider:
        tab = Tab(provider)
        found = {
            name: tab.values("/statistic", signal="activation", column=name)["both"]
            for name in ("rms", "std")
        }
    ((_, steps, values),) = found["rms"]
    assert steps == list(logs.STEPS)
    norms = record.norms["activation"]
    np.testing.assert_array_equal(values, norms.statistic("rms"))
    ((_, steps, values),) = found["std"]
    assert steps == [0, 10, 20, 30, 40]
    np.testing.assert_array_equal(values, record.signal("activation").statistic("std"))


def test_steps_of_a_chunk_come_apart_again(tab, log_dir):
    record = RunRecord.load(log_dir / "deep").signal("activation")
    expected = np.stack([logs.matrix(len(logs.DEEP), step) for step in logs.STEPS])
    np.testing.assert_array_equal(record.values, expected)

    found = tab.values("/statistic", signal="activation", column="max")
    ((names, steps, values),) = found["deep"]
    assert (tuple(names), tuple(steps)) == (logs.DEEP, logs.STEPS)
    column = schema.statistics_of("activation").index("max")
    np.testing.assert_array_equal(values, expected[:, :, column])

    found = tab.values("/tensor", signal="activation", tensor=logs.DEEP[7])
    ((_, _, values),) = found["deep"]
    np.testing.assert_array_equal(values, expected[:, 7])


def test_non_finite_values_arrive_as_they_are(tab):
    last = [
        tab.values("/statistic", signal="activation", column=name, run="full")["full"][
            0
        ][2][-1, 0]
        for name in ("mean", "std", "rms")
    ]
    assert np.isnan(last[0])
    assert last[1:] == [np.inf, -np.inf]


@pytest.mark.parametrize(
    ("samples", "expected"), [(2, [0, 45]), (4, [0, 15, 30, 45]), (10, logs.STEPS)]
)
def test_samples_are_spread_evenly_with_both_ends(tab, samples, expected):
    query = {"signal": "activation", "column": "rms", "samples": samples}
    ((_, steps, values),) = tab.values("/statistic", **query)["full"]

    assert steps == list(expected)
    column = schema.statistics_of("activation").index("rms")
    np.testing.assert_array_equal(
        values[:-1],
        [logs.matrix(3, step)[:, column] for step in expected[:-1]],
    )


@pytest.mark.parametrize(("at", "chosen"), [(25, 25), (24, 20), (0, 0), (999, 45)])
def test_step_asked_for_is_among_the_samples(tab, at, chosen):
    query = {"signal": "activation", "column": "rms", "samples": 2, "at": at}
    ((_, steps, values),) = tab.values("/statistic", **query, run="full")["full"]

    assert steps == sorted({0, chosen, 45})
    column = schema.statistics_of("activation").index("rms")
    expected = logs.matrix(3, chosen)[:, column]
    if chosen < 45:  # whose values are not finite
        np.testing.assert_array_equal(values[steps.index(chosen)], expected)


def test_step_before_a_run_begins_adds_no_sample():
    steps = np.array([10, 20])
    assert _sampled(steps, Sampling(2, at=5)).tolist() == [0, 1]


def test_first_step_survives_the_sampling_of_the_reader(log_dir, reader):
    with reader(log_dir, 3) as provider:
        found = Tab(provider).values("/statistic", signal="activation", column="std")

    ((_, steps, values),) = found["slow"]
    assert len(steps) <= 4
    assert (steps[0], steps[-1]) == (logs.STEPS[0], logs.STEPS[-1])
    np.testing.assert_array_equal(values[0], logs.matrix(3, 0)[:, 1])


def test_later_part_supersedes_from_its_first_step_on(tab):
    found = tab.values("/statistic", signal="activation", column="mean")
    parts = [(names, steps) for names, steps, _ in found["parts"]]

    assert parts == [(list(logs.LAYERS), [0]), (["dense"], [5, 15])]


def test_steps_after_a_restart_replace_the_earlier_ones(tab):
    found = tab.values("/statistic", signal="activation", column="mean")
    ((_, steps, values),) = found["rewound"]

    # Values tell the second writing of step 10 from the first.
    assert (steps, values[:, 0].tolist()) == ([0, 5, 10, 15], [0, 5, 11, 16])


def test_tensor_holds_all_columns_of_one_row(tab):
    query = {"kind": "histogram", "signal": "activation", "tensor": "dense_1"}
    found = tab.values("/tensor", **query)
    ((names, steps, values),) = found.pop("full")

    assert not any(found.values())
    assert names == list(schema.HISTOGRAM_COLUMNS)
    assert steps == list(logs.STEPS)
    assert (values == np.eye(1, len(names), 1)).all()


def test_time_steps_keep_their_padding(tab):
    query = {"kind": "time", "signal": "activation", "tensor": "dense_1"}
    ((names, _, values),) = tab.values("/tensor", **query)["full"]

    assert names == list(schema.TIME_COLUMNS)
    assert values[1, :3].tolist() == [6, 7, 9]
    assert np.isnan(values[:, 3:]).all()


def test_prediction_is_a_statistic_of_its_kind(tab):
    query = {"kind": "prediction", "signal": "activation", "column": "rms"}
    ((names, _, values),) = tab.values("/statistic", **query)["full"]

    assert dict(zip(names, values[0].tolist(), strict=True)) == {
        "dense": 1.0,
        "dense_1": 0.5,
        "dense_2": 0.25,
    }


def test_metrics_of_the_monitored_steps(tab):
    ((names, steps, values),) = tab.values("/metrics")["full"]

    assert names == ["loss", "accuracy"]
    assert steps == list(logs.STEPS)
    assert values[:, 0].tolist() == [2.5 - step / 64 for step in logs.STEPS]


def test_findings_are_the_newest_list(tab):
    findings = tab.json("/findings")["runs"]

    expected = {**logs.finding(), "measured": "NaN"}
    assert findings == {"full": [expected]}


def test_facts_of_a_run(tab):
    facts = tab.json("/facts", run="full")
    assert facts["facts"]["model"] == "mlp"
    assert tab.json("/facts", run="rewound")["facts"] == {}


@pytest.mark.parametrize(
    ("name", "age", "version"),
    [("newer", "a newer", schema.DATA_VERSION + 1), ("old", "an older", 2)],
)
def test_data_of_other_versions_are_left_out_with_a_note(tab, name, age, version):
    run = run_of(tab.json("/index"), name)

    assert run["series"] == []
    assert run["notes"] == [
        f"initkit/activation: written by {age} keras_initkit (data version "
        f"{version}, this tab reads {schema.DATA_VERSION})"
    ]


def test_malformed_data_are_left_out_with_a_note(tab):
    run = run_of(tab.json("/index"), "malformed")
    unreadable = "its description cannot be read"

    assert [s["signal"] for s in run["series"]] == ["activation", "preactivation"]
    assert run["notes"] == [
        f"initkit/{name}: {unreadable}"
        for name in ("backprop", "gradient", "metrics", "update", "weight")
    ]
    facts = tab.json("/facts", run="malformed")
    assert facts["facts"] == {}
    assert facts["notes"][-1] == "initkit/run: its newest text cannot be read"
    assert "malformed" not in tab.json("/findings")["runs"]
    for signal in ("activation", "preactivation"):
        query = {"signal": signal, "column": "rms", "run": "malformed"}
        assert tab.values("/statistic", **query) == {"malformed": []}
    assert "malformed" not in tab.values("/metrics", samples=2)


def test_signals_and_kinds_of_other_versions_are_left_out(tab):
    assert run_of(tab.json("/index"), "unknown")["series"] == []


def test_truncated_file_shows_what_it_holds(tab):
    found = tab.values("/statistic", signal="activation", column="mean")
    ((_, steps, _),) = found["truncated"]
    assert steps == [*range(33)]


def test_a_chunk_that_is_lost_is_told_unless_it_may_be_sampled_away(tmp_path):
    run = logs.Run(tmp_path)
    for step in range(100):
        run.step(step)
    run.close()
    (file,) = tmp_path.glob("*tfevents*")

    def lose_one(chunks):
        chunks[len(chunks) // 2].tag += "s"  # nothing finds it

    change_chunks(file, "initkit/activation", lose_one)
    with python_provider(tmp_path, 100) as provider:
        for kept, told in ((100, True), (0, True), (3, False), (None, False)):
            where = (provider, context.RequestContext(), "", Cache())
            found = data.Logs(*where, kept)
            runs = found.runs()
            found.statistic(runs, "statistics", "activation", "rms", Sampling(400))
            assert any("steps that are lost" in note for note in runs[0].notes) == told


def of_another_plugin(chunks):
    chunks[0].metadata.plugin_data.plugin_name = "inutkit"


def under_another_tag(chunks):
    chunks[-1].tag += "s"


def of_another_shape(chunks):
    chunks[-1].tensor.tensor_shape.dim[0].size += 1


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (of_another_plugin, "lost, with 40 steps or texts"),
        (under_another_tag, "7 steps that are lost"),
        (of_another_shape, "1 chunks that cannot be read"),
    ],
)
def test_damage_that_readers_do_not_see_is_told_and_costs_no_other_run(
    tmp_path, reader, damage, told
):
    for name in ("damaged", "whole"):
        logs.write_run(tmp_path / name, range(40))
    (file,) = (tmp_path / "damaged").glob("*tfevents*")
    change_chunks(file, "initkit/activation", damage)
    with reader(tmp_path, 100) as provider:
        tab = Tab(provider)
        index = tab.json("/index")
        where = (provider, context.RequestContext(), "", Cache())
        runs = data.Logs(*where, 100)
        found = tab.values("/statistic", signal="activation", column="rms")
        read = runs.statistic(
            runs.runs(), "statistics", "activation", "rms", Sampling(400)
        )
    notes = [note for run, _ in read for note in run.notes]
    notes += run_of(index, "damaged")["notes"]
    assert notes == [f"initkit/activation: {told}"]
    assert run_of(index, "whole")["notes"] == []
    ((_, steps, _),) = found["whole"]
    assert steps == [*range(40)]


def change_chunks(file, tag, change):
    """Changes chunks of a series in an event file, whose checksums then are right."""
    read = [
        event_pb2.Event.FromString(frame.content)
        for frame in frames.frames(file.read_bytes())
    ]
    change([one for event in read for one in event.summary.value if one.tag == tag])
    file.write_bytes(b"".join(framed(event.SerializeToString()) for event in read))


def framed(content):
    """Returns a content as a frame of an event file."""
    size = len(content).to_bytes(8, "little")
    checksums = (
        frames.masked_checksum(part).to_bytes(4, "little") for part in (size, content)
    )
    return size + next(checksums) + content + next(checksums)


def test_what_was_not_closed_is_told(tab):
    runs = {run["name"]: run for run in tab.json("/index")["runs"]}
    unclosed = "not closed: still being written, or killed, or cut off"
    for name in ("full", "deep", "slow", "parts", "rewound"):
        assert (runs[name]["unclosed"], runs[name]["notes"]) == ("", [])
    assert runs["truncated"]["unclosed"] == unclosed


def test_a_file_that_does_not_say_which_it_is_is_told(tmp_path):
    logs.write_run(tmp_path / "run")
    (file,) = (tmp_path / "run").glob("*tfevents*")

    def forget(marks):
        marks[0].tensor.string_val[0] = b"{}"

    change_chunks(file, schema.FILE_TAG, forget)
    with python_provider(tmp_path, 100) as provider:
        notes = run_of(Tab(provider).json("/index"), "run")["notes"]
    assert notes == [
        "initkit/file: a mark that cannot be read",
        "no file says that it was opened: the beginning is lost",
    ]


def test_a_shorter_file_behind_a_longer_one_misses_nothing(tmp_path):
    for steps in (range(10), range(10, 12)):
        logs.write_run(tmp_path / "run", steps, resumed=True)
    with python_provider(tmp_path, 100) as provider:
        found = data.Logs(provider, context.RequestContext(), "", Cache(), 100)
        runs = found.runs()
        found.statistic(runs, "statistics", "activation", "rms", Sampling(400))
    assert runs[0].notes == []


@pytest.mark.parametrize("number", [1, 2])
def test_a_file_that_was_removed_is_told(tmp_path, reader, number):
    for steps in ((0, 10), (20, 30), (40, 50)):
        logs.write_run(tmp_path / "resumed", steps, resumed=True)
    sorted((tmp_path / "resumed").glob("*tfevents*"))[number - 1].unlink()
    with reader(tmp_path, 100) as provider:
        index = Tab(provider).json("/index")
    notes = run_of(index, "resumed")["notes"]
    assert notes == [f"file {number} of the run: missing"]


def test_files_of_several_runs_in_one_directory_are_told(tmp_path):
    for name in ("one", "other"):
        logs.write_run(tmp_path / name, (0, 10))
    (file,) = (tmp_path / "other").glob("*tfevents*")
    file.rename(tmp_path / "one" / file.name)
    with python_provider(tmp_path, 100) as provider:  # that in Rust shows the last
        index = Tab(provider).json("/index")
    (note,) = run_of(index, "one")["notes"]
    assert note.startswith("files of several runs are in one directory")


def test_a_damaged_file_of_several_is_told(tmp_path, reader):
    for steps in ((0, 10), (20, 30), (40, 50)):
        logs.write_run(tmp_path / "resumed", steps, resumed=True)
    second = sorted((tmp_path / "resumed").glob("*tfevents*"))[1]
    data = second.read_bytes()
    second.write_bytes(data[: len(data) // 2])
    with reader(tmp_path, 100) as provider:
        index = Tab(provider).json("/index")
    assert run_of(index, "resumed")["notes"] == [
        "file 2 was not closed: its process was killed, or it is cut off"
    ]


def test_hostile_names_come_through_as_they_are(tab):
    index = tab.json("/index")
    run = run_of(index, logs.HOSTILE_RUN)
    labels = index["tables"][run["series"][0]["tensors"]]
    assert [schema.TensorKey.from_label(label).layer for label in labels] == list(
        logs.HOSTILE
    )
    for label in labels:
        query = {"signal": "activation", "tensor": label, "run": run["run"]}
        assert len(tab.values("/tensor", **query)[run["run"]]) == 1


@pytest.mark.parametrize(
    ("path", "query", "message"),
    [
        ("/statistic", {"column": "rms"}, "`signal` must be given once."),
        ("/statistic", {"signal": "aura", "column": "rms"}, "`signal` must be one of"),
        ("/statistic", {"signal": "weight"}, "`column` must be given once."),
        (
            "/statistic",
            {"signal": "weight", "column": ["rms", "std"]},
            "`column` must be given once.",
        ),
        (
            "/statistic",
            {"signal": "weight", "column": "rms", "kind": "../x"},
            "`kind` must be one of",
        ),
        ("/tensor", {"signal": "weight", "tensor": ""}, "`tensor` must be given once."),
        ("/facts", {}, "`run` must be given once."),
        *(
            ("/metrics", {"samples": text}, "`samples` must be an integer from 2 to")
            for text in ("1", "-5", "1e3", "٣٣", "10001", "9" * 5000, "")
        ),
        *(
            ("/metrics", {"at": text}, "`at` must be a step, an integer from 0")
            for text in ("-5", "1e3", "٣٣", "9" * 5000, "x")
        ),
    ],
)
def test_malformed_query_is_a_bad_request(tab, path, query, message):
    response = tab.get(path, **query)
    assert response.status_code == 400
    assert message in response.get_data(as_text=True)


@pytest.mark.parametrize("path", ["/facts", "/metrics"])
def test_unknown_run_is_not_found(tab, path):
    response = tab.get(path, run="<script>alert(1)</script>")
    assert response.status_code == 404
    assert response.headers["Content-Type"].startswith("text/plain")


@pytest.mark.parametrize(
    "path",
    [
        "/static/../plugin.py",
        "/static/..%2fplugin.py",
        "/static/%2e%2e/plugin.py",
        "/static/..\\plugin.py",
        "/static//etc/passwd",
        "/static/",
        "/static",
        "/static/views",
        "/static/index.js%00",
        "/../../etc/passwd",
        "/nothing",
    ],
)
def test_path_outside_the_routes_is_not_found(tab, path):
    assert tab.get(path).status_code == 404


def test_only_get_is_served(tab):
    assert tab.client.post(f"{ROOT}/index").status_code == 405
    assert tab.client.put(f"{ROOT}/static/index.js").status_code == 405


def test_routes_below_a_path_prefix(log_dir):
    with python_provider(log_dir, 10) as provider:
        tab = Tab(provider, "/foo/bar")
        assert tab.get("/static/index.js").status_code == 200
        assert run_of(tab.json("/index"), "full")


def test_logs_of_another_tool_leave_the_tab_inactive(tmp_path, log_dir, reader):
    from tensorboard.summary import Writer

    writer = Writer(str(tmp_path))
    writer.add_scalar("loss", 1.0, 0)
    writer.close()
    enabled = []
    for directory in (tmp_path, log_dir):
        with reader(directory, 10) as provider:
            listing = Tab(provider).client.get("/data/plugins_listing").json
        enabled.append(listing["initkit"]["enabled"])
    assert enabled == [False, True]


STATIC = sorted(path for path in plugin.STATIC.rglob("*") if path.is_file())


@pytest.mark.parametrize("path", STATIC, ids=lambda p: p.name)
def test_static_files_are_served_and_their_imports_exist(log_dir, path):
    tab = Tab(None)
    response = tab.get(f"/static/{path.relative_to(plugin.STATIC).as_posix()}")

    assert response.status_code == 200
    kinds = {".js": "text/javascript", ".css": "text/css", ".html": "text/html"}
    assert response.headers["Content-Type"].startswith(kinds[path.suffix])
    text = response.get_data(as_text=True)
    assert text == path.read_text()
    for name in re.findall(r"(?:from |import\()'(\.[^']*)'", text):
        assert (path.parent / name).resolve() in STATIC


def test_entry_asks_for_every_module_at_once():
    text = (plugin.STATIC / "index.js").read_text()
    asked = re.findall(r"^  '(.+)',$", text, re.MULTILINE)
    scripts = [path for path in STATIC if path.suffix == ".js"]
    modules = {path.relative_to(plugin.STATIC).as_posix() for path in scripts}
    assert sorted(asked) == sorted(modules - {"index.js"})


def test_front_end_never_writes_markup():
    source = "".join(path.read_text() for path in STATIC if path.suffix == ".js")
    for word in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write"):
        assert word not in source.replace("// Elements without innerHTML", "")


def test_front_end_is_small():
    compressed = sum(len(gzip.compress(path.read_bytes())) for path in STATIC)
    assert compressed < 200_000


def test_loader_raises_the_limit_unless_the_user_has_set_it():
    loader = plugin.InitKitLoader()
    flags = types.SimpleNamespace(samples_per_plugin={"scalars": 7})
    loader.fix_flags(flags)
    assert flags.samples_per_plugin == {"scalars": 7, "initkit": plugin.KEPT_CHUNKS}

    flags = types.SimpleNamespace(samples_per_plugin={"initkit": 5})
    loader.fix_flags(flags)
    assert flags.samples_per_plugin == {"initkit": 5}

    loader.fix_flags(types.SimpleNamespace())  # a TensorBoard without such a flag


def test_values_of_a_reply_are_aligned(tab):
    body = tab.get("/metrics").get_data()
    length = int.from_bytes(body[:4], "little")
    assert length % 4 == 0
    assert json.loads(body[4 : 4 + length])["tables"]


def test_import_of_the_plugin_brings_neither_keras_nor_tensorflow():
    code = (
        "import sys, keras_initkit_light.tab.plugin\n"
        "print(sorted({'keras', 'tensorflow', 'keras_initkit'} & set(sys.modules)))"
    )
    shown = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert shown.stdout.strip() == "[]"


def test_reading_in_batches_changes_nothing(tab, monkeypatch):
    query = {"signal": "activation", "column": "mean"}
    at_once = tab.get("/statistic", **query).get_data()
    monkeypatch.setattr(data, "_BATCH_BYTES", 1)
    assert tab.get("/statistic", **query).get_data() == at_once


class Counting:
    """A data provider that counts how often values are read."""

    def __init__(self, provider):
        self._provider = provider
        self.list_tensors = provider.list_tensors
        self.reads = 0

    def read_tensors(self, *args, **options):
        self.reads += 1
        return self._provider.read_tensors(*args, **options)


def logs_over(provider, cache):
    return data.Logs(provider, context.RequestContext(), "", cache)


def test_next_statistic_of_a_signal_is_not_read_again(log_dir):
    with python_provider(log_dir, 100) as provider:
        counting, cache = Counting(provider), Cache()
        for column in ("rms", "std"):
            found = logs_over(counting, cache)
            runs = found.runs(["deep", "malformed"])
            parts = found.statistic(
                runs, "statistics", "activation", column, Sampling(400)
            )
            # What was broken is told again.
            assert runs[1].notes[-1] == (
                "initkit/activation: 1 chunks that cannot be read"
            )
            ((_, (part,)), _) = parts
            at = schema.statistics_of("activation").index(column)
            expected = [logs.matrix(len(logs.DEEP), step)[:, at] for step in logs.STEPS]
            np.testing.assert_array_equal(part.values, expected)
        assert counting.reads == 1
        found.statistic(runs, "statistics", "activation", "rms", Sampling(2))
        assert counting.reads == 3  # the first step, and the last chunk


def test_first_of_two_samples_is_that_before_all_restarts(tmp_path, reader):
    for steps in ((0, 10), (20, 30), (40, 50)):
        logs.write_run(tmp_path / "resumed", steps, resumed=True)
    with reader(tmp_path, 100) as provider:
        query = {"signal": "activation", "column": "rms", "samples": 2}
        found = Tab(provider).values("/statistic", **query)
    ((_, steps, _),) = found["resumed"]
    assert steps == [0, 50]


def test_new_steps_are_read(tmp_path):
    cache = Cache()
    run = logs.Run(tmp_path / "growing")
    for step in (0, 10):
        run.step(step)
        run.writer.close()
        with python_provider(tmp_path, 100) as provider:
            found = logs_over(provider, cache)
            ((_, (part,)),) = found.statistic(
                found.runs(), "statistics", "activation", "rms", Sampling(400)
            )
        assert part.steps[-1] == step


def test_index_that_is_known_is_not_sent_again(tmp_path, reader):
    run = logs.Run(tmp_path / "growing")
    logs.write_run(tmp_path / "ended")
    seen = []
    for step in (0, 10, 20):
        run.step(step)
        run.writer.close()
        with reader(tmp_path, 100) as provider:
            tab = Tab(provider)
            index = tab.json("/index", known=seen[-1]["stamp"] if seen else "")
            known = tab.json("/index", known=index["stamp"])
        assert set(known) == {"stamp", "now"}
        assert known["stamp"] == index["stamp"]
        seen.append(index)
    assert len({index["stamp"] for index in seen}) == 3
    assert len({run_of(index, "growing")["stamp"] for index in seen}) == 3
    assert len({run_of(index, "ended")["stamp"] for index in seen}) == 1
    times = [run_of(index, "growing")["time"] for index in seen]
    assert times == sorted(set(times))
    assert times[-1] <= seen[-1]["now"] < times[-1] + 600


def test_findings_of_one_run(tab):
    assert set(tab.json("/findings", run="full")["runs"]) == {"full"}
    assert tab.json("/findings", run="deep")["runs"] == {}


def test_cache_keeps_one_version_of_what_grows():
    chunk = packing.Chunk(0, (0,), 1, 1, (bytes(4),))
    cache = Cache(most=8)
    other = Chunks([chunk], 0)
    cache.put("other", 0, other)
    for version in range(5):
        cache.put("growing", version, Chunks([chunk], 0))
    assert cache.get("other", 0) is other
    assert cache.get("growing", 3) is None
    assert cache.get("growing", 4) is not None


def test_cache_forgets_what_was_not_asked_for_the_longest():
    def chunks(size):
        return Chunks([packing.Chunk(0, (0,), 1, 1, (bytes(size),))], 0)

    cache = Cache(most=10)
    first, second, third = (chunks(4) for _ in range(3))
    cache.put("first", 0, first)
    cache.put("second", 0, second)
    assert cache.get("first", 0) is first
    cache.put("third", 0, third)
    assert [cache.get(key, 0) for key in ("first", "second", "third")] == [
        first,
        None,
        third,
    ]
    cache.put("large", 0, chunks(11))
    assert cache.get("large", 0) is None
    cache.put("first", 0, first)
    assert cache.get("first", 0) is first
