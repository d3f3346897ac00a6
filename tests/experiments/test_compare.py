"""`compare`: what is run, in which order, and what is said about it."""

import json
import math
import pickle
import re
import sys
import threading

import keras
import numpy as np
import pytest

import keras_initkit as kik
from keras_initkit import experiments, report
from keras_initkit.diagnosis import Finding
from keras_initkit.experiments import reuse, why
from keras_initkit.recording.record import RunRecord
from keras_initkit.recording.series import SignalSeries
from keras_initkit_light.format.schema import TensorKey
from tests.experiments.results import result_of


def finding_of(rule, layer="dense", message="something is wrong.", step=0):
    return Finding(rule, "error", layer, step, 1.0, 1.0, message, "Mend it.", "Book")


def comparison_of(*runs):
    return experiments.ComparisonResult(
        model="mlp",
        data="mnist",
        origin="here",
        is_standin=False,
        initializers=tuple(dict.fromkeys(run.initializer for run in runs)),
        seeds=tuple(dict.fromkeys(run.seed for run in runs)),
        runs=list(runs),
    )


@pytest.fixture(scope="module")
def mnist(tmp_path_factory):
    """A real comparison on the stand-in digits."""
    pytest.importorskip("sklearn")  # whose digits they are
    log_dir = tmp_path_factory.mktemp("compare")
    data = kik.data.load("mnist", source="standin")
    seen = []
    comparison = kik.compare(
        "mnist_mlp",
        data,
        ["zero", "random", "he_normal"],
        seeds=2,
        epochs=3,
        log_dir=log_dir,
        on_result=lambda run: seen.append((run.initializer, run.seed)),
    )
    return comparison, log_dir, seen


def test_compare_ranks_zero_last_and_says_why(mnist):
    comparison, _, _ = mnist
    assert comparison.ranking[-1] == "zero"
    assert comparison.ranking[0] == "he_normal"
    told = comparison.why["zero"]
    assert told.startswith(
        "identical units: in all 3 weight layers every unit stays a copy of the others"
    )
    assert "no gradient: exactly 0 in hidden_1, hidden_2" in told
    assert comparison.why["random"].startswith("signal explodes: ×")
    assert comparison.why["he_normal"].startswith("healthy: signal ×")
    for run in comparison.of("zero"):
        assert run.loss_initial == pytest.approx(math.log(10), rel=1e-6)
        assert run.profile("activation", "std").values.tolist() == [0, 0, 0]


def test_compare_runs_seed_by_seed(mnist):
    comparison, log_dir, seen = mnist
    names = ["zero", "random", "he_normal"]
    assert seen == [(name, seed) for seed in (0, 1) for name in names]
    assert [(r.initializer, r.seed) for r in comparison.runs] == [
        (name, seed) for name in names for seed in (0, 1)
    ]
    assert {p.name for p in log_dir.iterdir()} == {
        f"{name}-seed{seed}" for name in names for seed in (0, 1)
    }


def test_compare_as_json_round_trips(mnist):
    comparison, log_dir, _ = mnist
    text = json.dumps(comparison.to_dict(), allow_nan=False)
    content = json.loads(text)
    assert [(r["initializer"], r["seed"]) for r in content["runs"]] == [
        (r.initializer, r.seed) for r in comparison.runs
    ]
    for run, fields in zip(comparison.runs, content["runs"], strict=True):
        for name in ("accuracy", "loss_initial", "loss_final", "gradient_slope"):
            value = getattr(run, name)
            assert fields[name] == (value if math.isfinite(value) else None)
        assert set(fields["gradient_rms"]) == {
            f"{layer}:kernel" for layer in ("hidden_1", "hidden_2", "logits")
        }
    assert content["log_dir"] == str(log_dir)
    assert content["is_standin"] is True
    assert content["interrupted"] is False
    assert content["ranking"] == list(comparison.ranking)


def test_plot_writes_a_png(mnist, tmp_path):
    comparison, _, _ = mnist
    path = tmp_path / "new" / "picture.png"
    comparison.plot(path)
    assert path.read_bytes().startswith(b"\x89PNG")
    from matplotlib.image import imread

    assert np.ptp(imread(path)) > 0.5


def test_str_has_a_line_per_initializer(mnist):
    comparison, _, _ = mnist
    lines = str(comparison).splitlines()
    assert lines[0].startswith("mnist_mlp on mnist (stand-in for mnist")
    assert [line.split()[0] for line in lines[1:4]] == list(comparison.ranking)
    assert "zero: 0 of 2 learned (0% to 84% of such runs would)" in lines


def test_function_is_given_what_every_keras_layer_takes():
    given = []

    def small(initializer, seed):
        given.append((initializer, seed))
        inputs = keras.Input((2,))
        hidden = keras.layers.Dense(3, kernel_initializer=initializer, name="a")
        output = keras.layers.Dense(1, kernel_initializer=initializer, name="b")
        model = keras.Model(inputs, output(hidden(inputs)))
        model.compile("sgd", "mse")
        return model

    x = np.ones((8, 2), "float32")
    y = np.ones((8, 1), "float32")
    comparison = kik.compare(
        small, ((x, y), (x, y)), ["slide_he", keras.initializers.Ones()], seeds=[7]
    )
    assert comparison.model == "small"
    assert comparison.initializers == ("slide_he", "Ones")
    assert given[0][0]["class_name"] == "FanInUniform"
    assert given[0][0]["config"]["scale"] == 2.0
    assert [seed for _, seed in given] == [7, 7]
    (run,) = comparison.of("Ones")
    assert math.isnan(run.accuracy)  # the model has no metric
    assert run.steps == 1


@pytest.mark.parametrize(
    "reused",
    [
        lambda: reuse.ReferenceBuilder("xor_mlp"),
        lambda: experiments.Reused(lambda i, s: kik.models.build("xor_mlp", i, seed=s)),
    ],
    ids=["by_name", "by_function"],
)
def test_a_model_used_again_starts_like_a_new_one(reused):
    def alone(initializer, seed):
        return kik.models.build("xor_mlp", initializer=initializer, seed=seed)

    data = kik.data.load("xor")
    pairs = [("random", 0), ("he", 1)]
    builder = reused()
    models, weights = [], []
    for name, seed in pairs:
        arguments = dict(epochs=7, batch_size=3, every=2)
        again = experiments.train_run(builder, data, name, seed, **arguments)
        models.append(builder("he", 0))
        new = experiments.train_run(alone, data, name, seed, **arguments)
        assert again.loss_initial == new.loss_initial
        assert again.loss_final == new.loss_final
        for signal, series in new.record.series.items():
            np.testing.assert_array_equal(
                again.record.series[signal].values, series.values
            )
        weights.append(again.loss_final)
    assert len(set(map(id, models))) == 1
    assert len(set(weights)) == len(pairs)


def small_mlp(initializer, seed):
    return kik.models.build("mnist_mlp", initializer, depth=1, width=4, seed=seed)


def test_a_function_used_again_is_named_and_goes_to_other_processes():
    start = experiments.Reused(small_mlp)
    first = start("he", 0)
    assert start("he", 1) is first
    assert start.__name__ == "small_mlp"
    sent = pickle.loads(pickle.dumps(start))
    np.testing.assert_array_equal(
        sent("he", 1).get_weights()[0], first.get_weights()[0]
    )


def test_ctrl_c_keeps_what_has_finished():
    class Stop(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            raise KeyboardInterrupt

    def callbacks(label, seed):
        return [Stop()] if (label, seed) == ("he", 1) else []

    comparison = kik.compare(
        "xor_mlp", "xor", ["zero", "he"], epochs=1, callback_factory=callbacks
    )
    assert comparison.interrupted
    assert [(r.initializer, r.seed) for r in comparison.runs] == [
        ("zero", 0),
        ("zero", 1),
        ("he", 0),
    ]
    assert comparison.to_dict()["interrupted"] is True


def stopping_after(label, seed):
    """Callbacks that stop a run after their patience: no loss falls by 100."""
    patience = {"zero": 1, "he": 2}[label] + seed
    return [keras.callbacks.EarlyStopping("loss", min_delta=100.0, patience=patience)]


@pytest.mark.parametrize("n_jobs", [None, 2])
def test_callback_factory_gives_each_run_callbacks_of_its_own(n_jobs):
    if n_jobs is not None:
        pytest.importorskip("joblib")
    runs = kik.compare(
        "xor_mlp",
        "xor",
        ["zero", "he"],
        seeds=2,
        epochs=9,
        n_jobs=n_jobs,
        callback_factory=stopping_after,
    ).runs
    assert [(run.initializer, run.seed, run.steps) for run in runs] == [
        ("zero", 0, 2),
        ("zero", 1, 3),
        ("he", 0, 3),
        ("he", 1, 4),
    ]


@pytest.mark.parametrize("every", [kik.schedules.first(2), lambda step: step < 2])
def test_every_may_be_a_schedule(every, tmp_path):
    def run():
        return kik.compare(
            "xor_mlp", "xor", ["he"], seeds=1, epochs=9, every=every, log_dir=tmp_path
        )

    first, again = run(), run()
    assert first.runs[0].record.signal("weight").steps.tolist() == [0, 1]
    assert (first.kept, again.kept) == (0, 1)


@pytest.mark.parametrize("made", [keras.callbacks.Callback(), None, [print], {"a": 1}])
def test_callback_factory_must_give_a_list_of_callbacks(made):
    with pytest.raises(ValueError, match="`callback_factory` must return a list of"):
        kik.compare("xor_mlp", "xor", ["he"], callback_factory=lambda *_: made)


def test_callback_factory_must_go_to_processes():
    pytest.importorskip("joblib")
    lock = threading.Lock()

    def callbacks(label, seed):
        return [lock]

    message = (
        "`build_model`, `data`, `every` and `callback_factory` must be picklable if "
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
        kik.compare("xor_mlp", "xor", ["he"], n_jobs=2, callback_factory=callbacks)


@pytest.mark.slow
def test_runs_in_processes_agree_with_runs_here():
    pytest.importorskip("joblib")
    arguments = dict(data="xor", initializers=["he"], seeds=1, epochs=2)
    here = kik.compare("xor_mlp", **arguments)
    there = kik.compare("xor_mlp", **arguments, n_jobs=2)
    for a, b in zip(here.runs, there.runs, strict=True):
        assert (a.initializer, a.seed) == (b.initializer, b.seed)
        assert a.loss_final == pytest.approx(b.loss_final, rel=1e-5)
        assert b.record.signal("gradient").steps.tolist() == [0]


def test_processes_without_joblib_name_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "joblib", None)
    message = "`n_jobs` needs joblib: pip install 'keras-initkit[sweep]'"
    with pytest.raises(ImportError, match=f"^{re.escape(message)}$"):
        kik.compare("xor_mlp", "xor", ["he"], n_jobs=2, epochs=1)


def test_plot_needs_a_run(tmp_path):
    message = "`plot` needs at least one finished run. Received: none"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        comparison_of().plot(tmp_path / "x.png")


def test_plot_of_a_bare_record_is_drawn(tmp_path):
    pytest.importorskip("matplotlib")
    runs = [result_of("a"), result_of("b", accuracy=math.nan, loss_final=math.nan)]
    comparison_of(*runs).plot(tmp_path / "x.png")
    assert (tmp_path / "x.png").exists()


@pytest.mark.parametrize(
    ("initializers", "message"),
    [
        (
            ["he", "he"],
            "`initializers` must hold at least one, each with a unique label (use a "
            "dict `{label: initializer}`). Received: ['he', 'he']",
        ),
        (
            [],
            "`initializers` must hold at least one, each with a unique label (use a "
            "dict `{label: initializer}`). Received: []",
        ),
        (
            {"a/b": "he"},
            "`initializers` must have labels that can name a directory. Received: "
            "'a/b'",
        ),
        ({"a": None}, "`initializers` must not hold None. Received: 'a': None"),
    ],
    ids=["twice", "none", "no file name", "None"],
)
def test_initializers_are_checked_first(initializers, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        kik.compare("xor_mlp", "xor", initializers)


@pytest.mark.parametrize("seeds", [0, [], [1, 1]])
def test_seeds_are_checked_first(seeds):
    message = "`seeds` must be a positive number or distinct integers. "
    message += f"Received: seeds={seeds!r}"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        kik.compare("xor_mlp", "xor", ["he"], seeds=seeds)


@pytest.mark.parametrize(
    ("argument", "rule"),
    [
        ({"n_jobs": 0}, "must be at least 1, or -1 for a process per core"),
        ({"n_jobs": -2}, "must be at least 1, or -1 for a process per core"),
        ({"epochs": 0}, "must be an integer of at least 1"),
        ({"batch_size": -1}, "must be an integer of at least 1"),
    ],
)
def test_numbers_are_checked_first(argument, rule):
    ((name, value),) = argument.items()
    message = f"`{name}` {rule}. Received: {name}={value}"
    with pytest.raises(ValueError, match=rf"^{re.escape(message)}\.?$"):
        kik.compare("xor_mlp", "xor", ["he"], **argument)


def test_unknown_initializer_raises_before_anything_runs():
    with pytest.raises(ValueError, match=r"Did you mean 'he_normal'\?"):
        kik.compare("xor_mlp", "xor", ["he", "he_norml"])


X, Y = np.zeros((6, 2), "float32"), np.zeros(6, "float32")


def batches():
    import tensorflow as tf

    return tf.data.Dataset.from_tensor_slices((X, Y)).batch(3)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (3, "be a name, a Dataset or .* Received: 3 of type int"),
        ((X, Y), "be a name, a Dataset or .* of type tuple"),
        ((batches(), batches()), "such as a tf.data.Dataset, to arrays first"),
        ((({"a": X}, Y), (X, Y)), "hold arrays.* Received: `x_train` of type dict"),
        (((X, Y), (X, {"a": Y})), "hold arrays.* Received: `y_test` of type dict"),
        ((([X, X], Y), (X, Y)), "Received: 2 in `x_train` and 6 in `y_train`"),
        (((X, Y), (X, Y[:5])), "Received: 6 in `x_test` and 5 in `y_test`"),
        (((X, Y), (X[:0], Y[:0])), "at least one.* Received: 0 in `x_test` and 0"),
        ((([[1], [1, 2]], [0, 1]), (X, Y)), "hold arrays, or lists that can be made"),
    ],
)
def test_data_must_be_data(data, message):
    with pytest.raises(ValueError, match=f"`data` must .*{message}"):
        kik.compare("xor_mlp", data, ["he"])


def dense(initializer, *before):
    layer = keras.layers.Dense(1, kernel_initializer=initializer)
    model = keras.Sequential([keras.Input((2,)), *before, layer])
    model.compile("sgd", "mse")
    return model


def few(build, initializers=("he",), **settings):
    data = ((X + 1, Y), (X + 1, Y))
    settings = {"seeds": 2, "epochs": 1, **settings}
    return kik.compare(build, data, initializers, **settings)


def test_lists_of_numbers_are_arrays():
    data = ((X.tolist(), Y.tolist()), (X.tolist(), Y.tolist()))
    found = kik.compare("xor_mlp", data, ["he"], seeds=1, epochs=1)
    assert found.runs[0].tested == 6


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda i: None, r"be a function `\(initializer, seed\)`.* Received: \(i\)"),
        (lambda *, initializer, seed: None, "passed by position"),
        (lambda i, s: None, "return a compiled Keras model. Received: None of type No"),
        (lambda i, s: keras.Sequential(name="raw"), "compiled model.* Received: 'raw'"),
    ],
)
def test_build_model_must_build_models(build, message):
    with pytest.raises(ValueError, match=f"`build_model` must .*{message}"):
        few(build)


def test_a_run_must_not_go_on_from_another():
    model, layer = dense("zeros"), keras.layers.Dense(2)
    for build in (lambda i, s: model, lambda i, s: dense(i, layer)):
        with pytest.raises(ValueError, match="`build_model` must return a new model"):
            few(build)
    frozen = keras.layers.Dense(2, trainable=False)
    assert len(few(lambda i, s: dense(i, frozen)).runs) == 2


def test_errors_tell_the_run():
    def build(initializer, seed):
        if seed == 1:
            raise RuntimeError("a mistake")
        return dense(initializer)

    with pytest.raises(RuntimeError, match="a mistake") as caught:
        few(build)
    if sys.version_info >= (3, 11):
        assert caught.value.__notes__ == ["In the run of 'he', seed 1."]


def test_objects_without_a_seed_draw_anew_in_each_run():
    starts = {
        "free": keras.initializers.HeNormal(),
        "fixed": keras.initializers.HeNormal(3),
    }
    found = few(lambda i, s: dense(i), starts)
    free, fixed = ({run.loss_initial for run in found.of(name)} for name in starts)
    assert (len(free), len(fixed)) == (2, 1)


def test_seeds_and_values_may_be_numbers_of_numpy():
    found = few(lambda i, s, n: dense(i), seeds=np.arange(2), grid={"n": np.arange(2)})
    assert [(run.point["n"], run.seed) for run in found.runs] == [
        (0, 0), (0, 1), (1, 0), (1, 1),
    ]  # fmt: skip
    assert type(found.seeds[0]) is int
    with pytest.raises(ValueError, match=r"`seeds` must be below 2\*\*32"):
        few(dense, seeds=[2**32])


def test_values_that_are_equal_are_told_by_their_labels():
    found = few(lambda i, s, flag: dense(i), seeds=1, grid={"flag": [True, 1]})
    assert [row.name for row in found.table()] == ["he flag=True", "he flag=1"]


def test_model_must_be_a_name_or_function():
    message = (
        "`build_model` must be the name of a reference model or a function "
        "`(initializer, seed)`. Received: build_model=3"
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        kik.compare(3, "xor", ["he"])


def test_spread_is_mean_and_sample_deviation():
    assert report.MeanStd.of([1.0, 3.0]) == (2.0, pytest.approx(math.sqrt(2)), 2)
    assert math.isnan(report.MeanStd.of([1.0]).std)
    # Student's t with one degree of freedom: 12.706 standard errors.
    assert report.MeanStd.of([1.0, 3.0]).margin == pytest.approx(12.7062, rel=1e-5)
    assert math.isnan(report.MeanStd.of([1.0]).margin)
    assert math.isnan(report.MeanStd.of([1.0, math.nan]).mean)


def test_table_ranks_by_accuracy_then_loss_and_nan_last():
    comparison = comparison_of(
        result_of("nan", accuracy=math.nan, loss_final=math.nan),
        result_of("slow", accuracy=0.5, loss_final=2.0),
        result_of("best", accuracy=0.9, loss_final=3.0, nonfinite_step=4),
        result_of("same", accuracy=0.5, loss_final=1.0),
        result_of("best", 1, accuracy=0.7, loss_final=3.0, nonfinite_step=2),
    )
    assert comparison.ranking == ("best", "same", "slow", "nan")
    row = comparison.table()[0]
    assert row.accuracy.mean == pytest.approx(0.8)
    assert row.accuracy.runs == 2
    assert row.nonfinite_step == 2


@pytest.mark.parametrize("loss", [math.nan, math.inf])
def test_table_ranks_a_diverged_run_last_whatever_its_accuracy(loss):
    comparison = comparison_of(
        result_of("diverged", accuracy=0.1, loss_final=loss),
        result_of("no metric", accuracy=math.nan, loss_final=3.0),
        result_of("learns", accuracy=0.09, loss_final=2.0),
    )
    assert comparison.ranking == ("learns", "no metric", "diverged")


def test_why_of_healthy_runs_gives_the_factors():
    runs = [result_of(activation_slope=0.0, gradient_slope=0.30103)]
    assert why.explain(runs) == "healthy: signal ×1 and gradient ×2 per layer"


def test_why_warns_of_a_drift_that_depth_would_make_a_fault():
    runs = [result_of(activation_slope=-0.30103), result_of(activation_slope=math.nan)]
    expected = "no fault at this depth, but the signal fades: ×0.5 per layer"
    assert why.explain(runs) == expected


def test_why_without_a_slope_says_nothing_of_the_signal():
    runs = [result_of(activation_slope=math.nan)]
    assert why.explain(runs) == "no fault at this depth"
    found = [finding_of("PoorWeightInitialization", message="A std is far off.")]
    runs = [result_of(activation_slope=math.nan, findings=found)]
    assert why.explain(runs) == "signal: A std is far off"


@pytest.mark.parametrize(
    ("faulty", "said"),
    [([0, 1], "all 2 weight layers"), ([1], "dense_1"), ([2], "re_lu")],
)
def test_why_knows_a_layer_by_its_place_where_names_differ(faulty, said):
    runs = []
    for seed, names in enumerate(
        [("dense", "dense_1", "re_lu"), ("dense_2", "dense_3", "re_lu_1")]
    ):
        keys = tuple(TensorKey(name, "kernel") for name in names[:2])
        record = RunRecord(series={"gradient": SignalSeries("gradient", keys)})
        record.metadata["layers"] = [
            {"path": name, "weights": {}, "roles": {"kernel": "kernel"}}
            for name in names[:2]
        ]
        record.metadata["layers"].append({"path": names[2], "weights": {}})
        found = [finding_of("NoGradient", names[i]) for i in faulty]
        runs.append(result_of(seed=seed, findings=found, record=record))
    assert why.explain(runs) == f"no gradient: exactly 0 in {said}"


def test_why_tells_the_gravest_first_and_how_many_seeds():
    symmetric = [finding_of("SymmetricUnits"), finding_of("SymmetricUnits", "out")]
    runs = [
        result_of(findings=[*symmetric, finding_of("NonFinite", message="NaN here.")]),
        result_of(seed=1, findings=symmetric),
    ]
    assert why.explain(runs) == (
        "numbers overflow: NaN here (1 of 2); identical units: in dense, out every "
        "unit stays a copy of the others"
    )


def test_why_counts_layers_where_they_are_many():
    found = [finding_of("NoGradient", f"layer_{i}") for i in range(5)]
    keys = tuple(TensorKey(f"layer_{i}", "kernel") for i in range(6))
    record = RunRecord(series={"gradient": SignalSeries("gradient", keys)})
    record.metadata["layers"] = [
        {"path": key.layer, "weights": {}, "roles": {"kernel": "kernel"}}
        for key in keys
    ]
    runs = [result_of(findings=found, record=record)]
    assert why.explain(runs) == "no gradient: exactly 0 in 5 of 6 weight layers"


def test_why_tells_rules_it_has_no_story_for():
    runs = [result_of(findings=[finding_of("SomethingNew", message="New fault.")])]
    assert why.explain(runs) == "New fault"


def test_why_has_stories_for_rules_that_there_are():
    told = {rule for rules, _ in why._STORIES for rule in rules}
    assert told <= set(kik.diagnosis.RULES)


def test_why_needs_a_run():
    message = "`runs` must hold at least one run. Received: runs=[]"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        why.explain([])
