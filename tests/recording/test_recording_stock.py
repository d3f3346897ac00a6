"""What TensorBoard's own dashboards get, read back as TensorBoard reads it."""

import json
import pathlib
import re

import numpy as np
import pytest
from tensorboard.backend.event_processing import event_file_loader
from tensorboard.plugins.custom_scalar import layout_pb2
from tensorboard.util import tensor_util

from keras_initkit import schema
from keras_initkit.recording import RunRecord, RunWriter
from keras_initkit.recording.log import stock


def keys_of(layers):
    outputs = tuple(schema.TensorKey(f"dense_{i}", "output") for i in range(layers))
    weights = tuple(
        schema.TensorKey(f"dense_{i}", name)
        for i in range(layers)
        for name in ("kernel", "bias")
    )
    return {
        name: outputs if signal.source == "layer" else weights
        for name, signal in schema.ALL_SIGNALS.items()
    }


def written(directory, tensors, steps=(0, 10), counts=True, layers=()):
    """Writes steps of random matrices; returns them by step and signal."""
    rng = np.random.default_rng(1)
    record, writer, matrices = RunRecord(), RunWriter(directory), {}
    record.metadata["layers"] = layers
    for step in steps:
        matrices[step] = {}
        for signal, keys in tensors.items():
            values = rng.random((len(keys), len(schema.statistics_of(signal))))
            matrices[step][signal] = np.float32(values)
            record.add(signal, keys, step, values)
            record.add_histogram(
                signal, step, np.zeros((len(keys), len(schema.HISTOGRAM_COLUMNS)))
            )
        counted = {
            signal: np.ones((len(keys), 2048), np.int32)
            for signal, keys in tensors.items()
        }
        writer.write_step(step, record, tuple(tensors), counted if counts else {})
        writer.write_metrics(step, {"loss": step + 0.5})
    writer.close()
    return matrices


def read(directory):
    """Everything in the event files of one run: `{tag: {step: value}}` and plugins."""
    found, plugins = {}, {}
    for file in sorted(pathlib.Path(directory).glob("*tfevents*")):
        for event in event_file_loader.EventFileLoader(str(file)).Load():
            for value in event.summary.value:
                if value.HasField("metadata"):
                    plugins.setdefault(
                        value.tag, value.metadata.plugin_data.plugin_name
                    )
                found.setdefault(value.tag, {})[event.step] = value
    return found, plugins


def number(value):
    return tensor_util.make_ndarray(value.tensor).item()


def columns_of(signals, detail="full"):
    return {signal: schema.statistics_of(signal, detail) for signal in signals}


def test_of_norms_those_are_shown_that_are_there():
    tensors, columns = keys_of(4), columns_of(keys_of(4), "norms")
    shown = stock.shown_statistics(tensors, columns)
    assert shown["activation"] == shown["gradient"] == ("rms",)
    board = stock.ScalarBoard(tensors, shown, {}, columns)
    assert "over_layers/log10_activation_rms/median" in board.scalars.tags
    values = {
        signal: np.full((len(keys), len(columns[signal])), 10.0)
        for signal, keys in tensors.items()
    }
    values["activation"][:, columns["activation"].index("rms")] = 100.0
    numbers = dict(zip(board.scalars.tags, board.numbers(values), strict=True))
    assert numbers["over_layers/log10_activation_rms/median"] == 2.0
    charts = stock.charts(columns, (), shown)
    assert b"activation_rms" in charts.SerializeToString()


def test_scalars_are_the_numbers_of_the_record(tmp_path):
    tensors = keys_of(3)
    matrices = written(tmp_path, tensors)
    found, plugins = read(tmp_path)
    shown = stock.shown_statistics(tensors, columns_of(tensors))
    assert {s: n for s, n in shown.items() if n} == stock.STATISTICS[0][1]
    expected = {
        schema.tag(signal, key, name)
        for signal, keys in tensors.items()
        for key in keys
        for name in shown[signal]
    }
    assert len(expected) == 3 * stock.MOST_A_LAYER
    scalars = {tag for tag, plugin in plugins.items() if plugin == "scalars"}
    quantiles = {
        stock.over_layers_tag(s, names, q)
        for s, names in columns_of(tensors).items()
        for q in stock.QUANTILES
    }
    assert scalars == expected | quantiles | {"metrics/loss"}
    for tag in expected:
        signal, key, name = schema.parse_tag(tag)
        row = tensors[signal].index(key)
        column = schema.statistics_of(signal).index(name)
        for step in (0, 10):
            value = number(found[tag][step])
            assert value == matrices[step][signal][row, column]
    assert {step: number(v) for step, v in found["metrics/loss"].items()} == {
        0: 0.5,
        10: 10.5,
    }


def test_over_layers_are_quantiles_of_the_finite_values_of_kernels(tmp_path):
    keys = keys_of(4)["gradient"]
    values = np.zeros((8, len(schema.statistics_of("gradient"))), np.float32)
    rms = schema.statistics_of("gradient").index("rms")
    kernels = [1e-3, np.nan, 0.0, 100.0]
    values[::2, rms], values[1::2, rms] = kernels, 99.0
    known = {"kernel": "kernel", "bias": "offset"}
    roles = {(key.layer, key.tensor): known[key.tensor] for key in keys}
    board = stock.ScalarBoard(
        {"gradient": keys},
        {"gradient": ("rms",)},
        roles,
        columns_of(("gradient",)),
    )
    numbers = dict(
        zip(board.scalars.tags, board.numbers({"gradient": values}), strict=True)
    )
    expected = np.quantile([-20.0, -3.0, 2.0], list(stock.QUANTILES.values()))
    for name, value in zip(stock.QUANTILES, expected, strict=True):
        assert numbers[f"over_layers/log10_gradient_rms/{name}"] == pytest.approx(value)
    values[:, rms] = np.inf
    assert np.isnan(board.numbers({"gradient": values})[-3:]).all()


def test_a_layer_shows_no_more_than_a_person_reads_and_no_vectors():
    names = ("query", "key", "value", "output", "gate", "bias")
    weights = tuple(schema.TensorKey("attention", name) for name in names)
    calls = tuple(schema.TensorKey("attention", "output", n) for n in range(3))
    tensors = {"activation": calls, "gradient": weights, "weight": weights}
    shown = stock.shown_statistics(tensors, columns_of(tensors))
    board = stock.ScalarBoard(
        tensors, shown, {("attention", "query"): "offset"}, columns_of(tensors)
    )
    tags = [tag for tag in board.scalars.tags if not tag.startswith("over_layers")]
    assert len(tags) == stock.MOST_A_LAYER
    assert tags[6:] == [
        schema.tag("gradient", key, "rms") for key in (weights[1], weights[2])
    ]
    values = {
        signal: np.arange(len(keys) * 32.0).reshape(len(keys), 32)
        for signal, keys in tensors.items()
    }
    rms = schema.statistics_of("gradient").index("rms")
    assert board.numbers(values)[6 + 3] == values["gradient"][1, rms]


@pytest.mark.parametrize(
    ("layers", "choice"), [(4, 0), (75, 0), (76, 1), (200, 1), (201, 2)]
)
def test_deep_models_show_fewer_statistics(layers, choice):
    tensors = keys_of(layers)
    shown = stock.shown_statistics(tensors, columns_of(tensors))
    most, expected = stock.STATISTICS[choice]
    assert shown == {signal: expected.get(signal, ()) for signal in tensors}
    tags = sum(map(len, stock.shown_cells(tensors, shown).values()))
    assert tags <= most
    histograms = sum(map(len, stock.shown_histograms(tensors).values()))
    assert histograms <= stock.MAX_HISTOGRAMS
    board = stock.ScalarBoard(tensors, shown, {}, columns_of(tensors))
    assert len(board.scalars.tags) == tags + 3 * len(tensors)


def test_histograms_of_deep_models_are_those_of_fewer_signals(tmp_path):
    tensors = keys_of(50)
    written(tmp_path, tensors, steps=(0,))
    _, plugins = read(tmp_path)
    tags = {tag for tag, plugin in plugins.items() if plugin == "histograms"}
    assert {tag.split("/")[0] for tag in tags} == {"activation", "gradient", "weight"}
    assert len(tags) == 50 + 100 + 100


def test_charts_name_patterns_that_match_every_layer(tmp_path):
    written(tmp_path, keys_of(2), counts=False)
    found, plugins = read(tmp_path)
    (value,) = found["custom_scalars__config__"].values()
    assert plugins["custom_scalars__config__"] == "custom_scalars"
    layout = layout_pb2.Layout.FromString(tensor_util.make_ndarray(value.tensor).item())
    spread, each = layout.category
    shown = [*stock.STATISTICS[0][1]]
    assert len(spread.chart) == len(schema.ALL_SIGNALS)
    for chart in spread.chart:
        (series,) = chart.margin.series
        assert {series.value, series.lower, series.upper} <= found.keys()
    for chart, signal in zip(each.chart, shown, strict=True):
        (pattern,) = chart.multiline.tag
        matched = {tag for tag in found if re.match(pattern, tag)}
        assert matched == {
            schema.tag(signal, key, stock.OVER_LAYERS[signal])
            for key in keys_of(2)[signal]
            if key.tensor != "bias"
        }


def test_names_of_any_script_keep_their_numbers_in_place(tmp_path):
    tensors = {"weight": (schema.TensorKey("层/ÿÀÿÁ:<b>", "kernel"),)}
    matrices = written(tmp_path, tensors, counts=False)
    found, _ = read(tmp_path)
    tag = schema.tag("weight", tensors["weight"][0], "rms")
    column = schema.statistics_of("weight").index("rms")
    assert number(found[tag][10]) == matrices[10]["weight"][0, column]


def test_metadata_is_written_once_and_again_in_a_new_file(tmp_path):
    writer, record = RunWriter(tmp_path), RunRecord()
    tensors = keys_of(1)
    for step in range(3):
        for signal, keys in tensors.items():
            shape = (len(keys), len(schema.statistics_of(signal)))
            record.add(signal, keys, step, np.zeros(shape))
        writer.write_step(step, record, tuple(tensors), {})
        if step == 1:
            writer.close()
    writer.close()
    files = sorted(tmp_path.glob("*tfevents*"))
    assert len(files) == 2
    for file in files:
        described = {}
        for event in event_file_loader.EventFileLoader(str(file)).Load():
            for value in event.summary.value:
                described.setdefault(value.tag, []).append(
                    bool(value.metadata.plugin_data.plugin_name)
                )
        for flags in described.values():
            assert flags[0]
            assert not any(flags[1:])


FINDING = {
    "rule": "NoGradient",
    "severity": "error",
    "layer": "a|b<script>",
    "step": 10,
    "measured": np.nan,
    "threshold": 1e-7,
    "message": "no *gradient*",
    "remedy": "use\nanother",
    "reference": "x",
    "cleared": None,
}


def test_findings_are_written_as_json_and_as_advice(tmp_path):
    writer = RunWriter(tmp_path)
    writer.write_findings(10, [FINDING])
    writer.write_findings(20, [{**FINDING, "layer": None, "cleared": 20}])
    writer.write_findings(30, [])
    writer.close()
    shown, plugins = read(tmp_path)
    ours = (schema.FINDINGS_TAG, schema.FILE_TAG)
    assert plugins == {**dict.fromkeys(ours, "initkit"), "findings": "text"}
    lists = [
        json.loads(
            tensor_util.make_ndarray(value.tensor).item(),
            parse_constant=lambda name: pytest.fail(f"not JSON: {name}"),
        )["findings"]
        for value in shown[schema.FINDINGS_TAG].values()
    ]
    assert lists == [
        [{**FINDING, "measured": None}],
        [{**FINDING, "measured": None, "layer": None, "cleared": 20}],
        [],
    ]
    advice, later, none = (
        tensor_util.make_ndarray(v.tensor).item().decode()
        for v in shown["findings"].values()
    )
    assert advice.splitlines() == [
        r"### error: NoGradient in a\|b\<script\>, since step 10",
        "",
        r"no \*gradient\*",
        "",
        "**What to do:** use another",
    ]
    assert later.splitlines() == [
        "**No open faults.**",
        "",
        "**No longer:**",
        "",
        "- NoGradient, since step 10, until step 20",
    ]
    assert none == "**The rules found no faults.**"


def test_advice_names_a_fault_once_with_what_follows_from_it():
    found = [
        FINDING | {"layer": "one"},
        FINDING | {"layer": "two"},
        FINDING | {"rule": "NoProgress", "because_of": "NoGradient"},
        FINDING | {"rule": "Plateau", "because_of": "DeadRelu", "severity": "info"},
    ]
    text = stock.findings_text(found)
    assert text.count("###") == 2
    assert "The same applies to two." in text
    assert "From it follow: NoProgress." in text
    assert "It follows from DeadRelu." in text  # which has ceased
    assert text.count("What to do") == 1


def test_histograms_are_of_kernels_not_of_biases(tmp_path):
    tensors = keys_of(2)
    roles = {"kernel": "kernel", "bias": "offset"}
    layers = [{"path": key.layer, "roles": roles} for key in tensors["activation"]]
    written(tmp_path, tensors, steps=(0,), layers=layers)
    _, plugins = read(tmp_path)
    tags = {tag for tag, plugin in plugins.items() if plugin == "histograms"}
    assert stock.histogram_tag("weight", tensors["weight"][0]) in tags
    assert not [tag for tag in tags if tag.endswith(":bias")]
    assert len(tags) == 2 * len(schema.ALL_SIGNALS)
