"""Every result draws itself: a figure, also where it is saved to a file."""

import inspect
import re
import sys

import numpy as np
import pytest
from matplotlib.figure import Figure

from keras_initkit import experiments, inspection, reinit
from keras_initkit.diagnosis import Finding
from keras_initkit.inspection.layer_profile import LayerProfile
from keras_initkit.recording import RunRecord
from keras_initkit.schema import TensorKey
from keras_initkit.structure.in_place import Skipped
from tests.experiments.results import result_of

NAMES = [f"block/layer_{n}" for n in range(40)]


def run_result(initializer="he_normal", seed=0):
    record = RunRecord()
    for step, loss in ((0, 2.0), (10, 1.0)):
        record.add_scalars(step, {"loss": loss})
    return result_of(initializer, seed, steps=11, record=record)


def diagnosis_result():
    found = [Finding("DeadRelu", "error", NAMES[0], 0, 1.0, 0.5, "Dead.", "", "")]
    return inspection.DiagnosisResult(
        model="mlp",
        findings=found,
        not_judged={},
        record=RunRecord(),
        profile=[
            LayerProfile(name, 1.0, 0.9, 0.5, None, 0.1, 1e-3, 0.0)
            for name in NAMES[:3]
        ],
        phases=[],
        loss=None,
        chance=None,
        jacobian=None,
        notes=[],
        seconds=1.0,
    )


RESULTS = {
    "diagnose": diagnosis_result(),
    "lsuv": reinit.LSUVResult(
        tuple(
            reinit.LayerFit(name, "kernel", 0.1 + n, 1.0 + n / 1e3, 0.01, 1, True)
            for n, name in enumerate(NAMES)
        ),
        (Skipped("odd", "is odd"),),
        1.0,
    ),
    "preserve_signal": reinit.ScalingResult(
        tuple(reinit.Scaling(name, 2.0, 0.25) for name in NAMES), ()
    ),
    "fixup": reinit.FixupResult(
        (("b1", "b2"), ("c1", "c2", "c3")),
        {"stem": 1.0, "b1": 0.7, "c1": 0.5, "c2": 0.5},
        ("b2", "c3", "head"),
        (),
    ),
    "metainit": reinit.MetaInitResult((1.0, 0.5, 0.2), dict.fromkeys(NAMES, 1.5), ()),
    "coordinate_check": inspection.CoordinateCheckResult(
        tuple(
            (layer, width, step, 1.0 + step * width)
            for width in (256, 64, 128)
            for step in range(5)
            for layer in ("a", "b")
        )
    ),
    "over_draws": inspection.DrawsResult(
        ("a", "b"), 1.0, np.array([[1.0, 0.5], [4.0, 0.0]]), np.array([1.0, np.nan]),
        np.zeros((2, 1)),
    ),
    "reinitialize": reinit.ReinitializeResult(
        (
            reinit.Drawn("a", "kernel", "HeNormal", 0.5),
            reinit.Drawn("a", "bias", "Zeros", 0.0),
        ),
        (),
    ),
    "gradients": inspection.GradientsResult(
        inspection.Values("backprop", {TensorKey("a", "output"): np.ones((3, 2))}, {}),
        inspection.Values("gradient", {TensorKey("a", "kernel"): np.ones((2, 2))}, {}),
        1.0, (),
    ),
    "learning_rate_trial": inspection.LearningRateTrialResult(
        (
            inspection.Tried(1e-3, 2.2, 2.4, True),
            inspection.Tried(1e-2, 1.9, 2.6, True),
            inspection.Tried(1e-1, 247.0, 300.0, False),
            inspection.Tried(1.0, float("nan"), float("nan"), False),
        ),
        start=2.4, constant=2.3, rate=1e-2, low=1e-3, high=1e-2, proposal=1e-3,
        reason=None, steps=5, notes=(), seconds=1.0,
    ),
    "run": run_result(),
    "compare": experiments.ComparisonResult(
        "mlp", "mnist", "here", False, ("he_normal",), (0,), [run_result()]
    ),
}  # fmt: skip


def test_every_result_is_drawn_here():
    classes = {
        one
        for room in (reinit, inspection, experiments)
        for name in room.__all__
        if inspect.isclass(one := getattr(room, name)) and name.endswith("Result")
    }
    assert classes == {type(result) for result in RESULTS.values()}


@pytest.mark.parametrize("name", RESULTS)
def test_plot_returns_a_figure_and_saves_it_where_there_is_a_path(name, tmp_path):
    figure = RESULTS[name].plot()
    assert isinstance(figure, Figure)
    path = tmp_path / "new" / "picture.png"
    assert isinstance(RESULTS[name].plot(path), Figure)
    assert path.read_bytes().startswith(b"\x89PNG")
    assert list(tmp_path.rglob("*")) == [path.parent, path]


@pytest.mark.parametrize("name", RESULTS)
def test_plot_without_matplotlib_names_the_extra(name, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    message = "`plot` needs matplotlib: pip install 'keras-initkit[plot]'"
    with pytest.raises(ImportError, match=f"^{re.escape(message)}$"):
        RESULTS[name].plot()


def curves(name, panel=0):
    axes = RESULTS[name].plot().axes[panel]
    return {line.get_label(): line.get_ydata() for line in axes.lines}


def test_lsuv_shows_before_and_after():
    shown = curves("lsuv")
    fits = RESULTS["lsuv"].layers
    np.testing.assert_allclose(shown["before"], [fit.std_before for fit in fits])
    (after,) = (shown[label] for label in shown if label.startswith("after"))
    np.testing.assert_allclose(after, [fit.std_after for fit in fits])


def test_layers_are_named_without_the_path_they_share_and_at_most_16():
    axes = RESULTS["lsuv"].plot().axes[0]
    names = [label.get_text() for label in axes.get_xticklabels()]
    assert names == [f"layer_{n}" for n in range(0, 40, 3)]


def test_fixup_shows_layers_in_forward_order_and_zeros_on_a_line():
    axes = RESULTS["fixup"].plot().axes[0]
    names = [label.get_text() for label in axes.get_xticklabels()]
    assert names == ["stem", "b1", "b2", "c1", "c2", "c3", "head"]
    np.testing.assert_allclose(
        axes.lines[0].get_ydata(), [1, 0.7, 0.01, 0.5, 0.5, 0.01, 0.01]
    )
    assert [text.get_text() for text in axes.texts] == ["exactly 0"]


def test_metainit_shows_quotients_and_norms():
    axes = RESULTS["metainit"].plot().axes
    np.testing.assert_allclose(axes[0].lines[0].get_ydata(), [1.0, 0.5, 0.2])
    np.testing.assert_allclose(axes[1].lines[0].get_ydata(), [1.5] * 40)


def test_coordinate_check_has_a_panel_a_step_and_a_line_a_layer():
    axes = [one for one in RESULTS["coordinate_check"].plot().axes if one.get_visible()]
    assert [one.get_title() for one in axes] == [f"step {n}" for n in range(5)]
    assert [line.get_label() for line in axes[0].lines] == ["a", "b"]
    np.testing.assert_allclose(axes[2].lines[0].get_xdata(), [64, 128, 256])
    np.testing.assert_allclose(axes[2].lines[0].get_ydata(), [129, 257, 513])


def test_learning_rate_trial_shows_the_curve_and_what_it_is_held_against():
    axes = RESULTS["learning_rate_trial"].plot().axes[0]
    shown = {line.get_label(): line for line in axes.get_lines()}
    assert set(shown) == {
        "after the steps",
        "with the targets of other examples",
        "without a step",
        "best constant guess",
        "proposed",
        "yours",
    }
    np.testing.assert_array_equal(
        shown["after the steps"].get_ydata(), [2.2, 1.9, 247.0, np.nan]
    )
    assert axes.get_ylim()[1] < 5  # what diverges does not flatten the rest


def test_over_draws_shows_means_and_theory():
    shown = curves("over_draws")
    assert shown["measured"][0] == pytest.approx(2.0)  # the geometric mean
    np.testing.assert_allclose(shown["theory"], [1.0, np.nan])


def test_reinitialize_shows_what_was_drawn():
    axes = RESULTS["reinitialize"].plot().axes[0]
    np.testing.assert_allclose(axes.lines[0].get_ydata(), [0.5, 0.01])
