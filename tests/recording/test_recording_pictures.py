"""Pictures and tables of a record: what is drawn is what was recorded."""

import numpy as np
import pytest
from matplotlib.figure import Figure

from keras_initkit import schema
from keras_initkit.recording import RunRecord
from keras_initkit.schema import TensorKey

LAYERS = [f"net/layer_{n}" for n in range(5)]
STEPS = (0, 10, 40)


def sizes(signal, rms):
    """A matrix in which only the rms is told."""
    names = schema.statistics_of(signal)
    values = np.zeros((len(rms), len(names)), np.float32)
    values[:, names.index("rms")] = rms
    return values


def record_of(losses=(2.0, 1.5, 1.0), findings=(), factors=(1, 1, 1)):
    record = RunRecord()
    outputs = tuple(TensorKey(layer, "output") for layer in LAYERS)
    weights = tuple(TensorKey(x, w) for x in LAYERS for w in ("kernel", "bias"))
    roles = {"kernel": "kernel", "bias": "offset"}
    record.metadata.update(
        model="net", layers=[{"path": path, "roles": roles} for path in LAYERS]
    )
    for number, (step, loss) in enumerate(zip(STEPS, losses, strict=True)):
        fading = 10.0 ** -np.arange(len(LAYERS)) * (number + 1)
        record.add("activation", outputs, step, sizes("activation", fading))
        record.add("backprop", outputs, step, sizes("backprop", fading[::-1]))
        gradients = np.repeat(fading, 2)
        gradients[1::2] = 99  # biases
        gradients *= factors[number]
        record.add("gradient", weights, step, sizes("gradient", gradients))
        record.add_scalars(step, {"loss": loss})
    record.findings = list(findings)
    return record


def finding(rule, severity="error", layer=LAYERS[0], step=10, **more):
    return {
        "rule": rule, "severity": severity, "layer": layer, "step": step,
        "because_of": None, "cleared": None, **more,
    }  # fmt: skip


def panels(record, **asked):
    return [axes for axes in record.plot(**asked).axes if axes.get_title()]


def test_the_overview_shows_two_profiles_a_heat_map_and_the_loss():
    forward, back, heat, loss = panels(record_of())
    for axes, title in ((forward, "activation"), (back, "backprop")):
        assert axes.get_title() == f"{title} against depth"
        assert [line.get_label() for line in axes.lines] == ["step 0", "step 40"]
    np.testing.assert_allclose(
        forward.lines[1].get_ydata(), [3, 0.3, 0.03, 3e-3, 3e-4], rtol=1e-6
    )
    assert heat.get_title() == "gradient over the steps"
    shown = np.asarray(heat.collections[0].get_array())
    # A row a kernel, input above, a column a step; no bias is among them.
    np.testing.assert_allclose(shown[:, 0], [1, 0.1, 0.01, 1e-3, 1e-4], rtol=1e-6)
    np.testing.assert_allclose(loss.lines[0].get_xydata()[-1], [40, 1.0])
    assert loss.get_title() == "training loss: no finding"


def test_causes_stand_in_the_picture_of_the_loss_where_they_were_first_seen():
    found = [
        finding("DeadRelu"),
        finding("DeadRelu", layer=LAYERS[3]),
        finding("NoGradient", because_of="DeadRelu"),
        finding("Plateau", "info"),
        finding("LossNaN", layer=None, step=40),
        finding("Overflow", cleared=40),
    ]
    axes = panels(record_of(findings=found))[-1]
    marks = {line.get_label(): line.get_xdata()[0] for line in axes.lines[1:]}
    assert marks == {
        f"DeadRelu in {LAYERS[0]} and 1 more, since step 10": 10,
        "LossNaN, since step 40": 40,
    }
    assert axes.get_title() == "training loss: DeadRelu, LossNaN"


def test_what_no_rule_has_judged_is_not_called_fine():
    record = record_of()
    record.findings = None
    assert panels(record)[-1].get_title() == "training loss: not judged by rules"
    assert "not judged" in str(record)


def test_the_loss_is_that_of_the_batches_between_the_steps():
    record = record_of(losses=(2.0, 2.0, 3.0))
    record.metadata["fit"] = {"first_step": 0, "steps_per_epoch": 100}
    (line,) = panels(record)[-1].lines
    # (41 batches with mean 3) - (11 with mean 2) leaves 30.
    np.testing.assert_allclose(line.get_ydata(), [2, 2, (41 * 3 - 11 * 2) / 30])


def test_one_signal_and_statistic_are_drawn_alone():
    profile, heat = panels(record_of(), signal="gradient", statistic="rms")
    assert len(profile.lines[0].get_ydata()) == len(LAYERS)
    assert heat.get_title() == "gradient over the steps"
    profile, _ = panels(record_of(), signal="activation", statistic="mean")
    assert profile.get_yscale() == "linear"  # a mean may be negative


def test_zeros_and_what_is_not_finite_have_colours_of_their_own():
    silent = panels(record_of(factors=(0, 0, 0)))[2]
    assert silent.get_title() == "gradient over the steps, black: exactly 0"
    heat = panels(record_of(factors=(0, np.nan, 1)))[2]
    assert heat.get_title().endswith("black: exactly 0, orange: not finite")
    mesh = heat.collections[0]
    shown = np.asarray(mesh.to_rgba(mesh.get_array())).reshape(len(LAYERS), 3, 4)
    np.testing.assert_allclose(shown[0, 0, :3], 0)
    assert shown[0, 1, 0] > 0.8 > shown[0, 1, 2]


def test_a_single_step_is_one_column_and_one_tick():
    record = RunRecord()
    key = TensorKey("dense", "output")
    record.add("activation", (key,), 7, sizes("activation", [1.0]))
    profile, heat, loss = panels(record)
    assert [line.get_label() for line in profile.lines] == ["step 7"]
    assert heat.get_xticks().tolist() == [7]
    assert heat.get_xlim() == (6.5, 7.5)
    assert [text.get_text() for text in loss.texts] == ["no loss was recorded"]


def test_columns_of_the_heat_map_meet_half_way_between_the_steps():
    heat = panels(record_of())[2]
    edges = heat.collections[0].get_coordinates()[0, :, 0]
    np.testing.assert_allclose(edges, [0, 5, 25, 40])


def test_a_record_of_weights_alone_is_drawn():
    record = RunRecord()
    keys = (TensorKey("dense", "kernel"),)
    record.add("weight", keys, 0, sizes("weight", [0.1]))
    assert panels(record)[0].get_title() == "weight against depth"


def test_plot_saves_where_there_is_a_path(tmp_path):
    path = tmp_path / "run.png"
    assert isinstance(record_of().plot(path), Figure)
    assert path.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("asked", "error", "message"),
    [
        ({"signal": "momentum"}, KeyError, "`signal` must have been recorded, as"),
        ({"signal": 3}, TypeError, "`signal` must be a string. Received: signal=3"),
        (
            {"signal": "backprop", "statistic": "dead_fraction"},
            KeyError,
            r"`statistic` must be one of 'backprop', \('mean', .*dead_fraction",
        ),
        ({"statistic": "std"}, ValueError, "`statistic` needs its `signal`"),
    ],
)
def test_what_was_not_recorded_is_named(asked, error, message):
    with pytest.raises(error, match=message):
        record_of().plot(**asked)


def test_an_empty_record_says_that_there_is_nothing_to_draw():
    with pytest.raises(ValueError, match="There is nothing to plot: the record holds"):
        RunRecord().plot()


def test_a_record_prints_itself_as_a_table():
    text = str(record_of(findings=[finding("DeadRelu")]))
    assert text.splitlines()[0] == "net, steps 0 to 40"
    assert "gradient   │ 3 steps of 10 tensors" in text
    assert "2 at step 0, 1 at step 40" in text
    assert f"DeadRelu in {LAYERS[0]}, since step 10" in text
    assert "<pre" in record_of()._repr_html_()
    assert repr(RunRecord()) == "<RunRecord empty>"


def test_json_keeps_the_findings(tmp_path):
    record = record_of(findings=[finding("DeadRelu", measured=float("nan"))])
    record.to_json(tmp_path / "record.json")
    (read,) = RunRecord.from_json(tmp_path / "record.json").findings
    assert read == finding("DeadRelu", measured=None)
