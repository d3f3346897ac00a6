"""Signals and gradients over depth: what counts as a drift, and what does not."""

import numpy as np
import pytest
from edits import biases_like_kernels, over_time, profile
from records import Draft

from keras_initkit import diagnosis


def test_last_layer_stands_out_where_all_others_vanish_and_does_not_explode():
    draft = Draft()
    draft.values["gradient"]["rms"][:, 0:6] = 1e-9
    findings = diagnosis.judge(draft.record())
    assert {f.rule for f in findings} == {"VanishingGradient"}
    # The largest of those behind it is what a gradient has grown from.
    draft.values["gradient"]["rms"][:, 4] = 1e-4
    assert not diagnosis.judge(draft.record(), rules=["ExplodingGradient"])
    draft.values["gradient"]["rms"][:, 4] = 100.0
    (finding,) = diagnosis.judge(draft.record(), rules=["ExplodingGradient"])
    assert finding.layer == "dense_2"


def test_gradient_that_falls_all_along_is_not_called_exploding_behind():
    draft = Draft(layers=tuple("abcdefghi"), units=(8,) * 9)
    draft.values["gradient"]["rms"][:, ::2] = 1e-6 * 10.0 ** np.arange(9)
    rules = [f.rule for f in diagnosis.judge(draft.record()) if f.layer != "b"]
    assert set(rules) == {"VanishingGradient"}
    draft.values["gradient"]["rms"][:, ::2] = 1e2 * 0.1 ** np.arange(9)
    assert {f.rule for f in diagnosis.judge(draft.record())} == {"ExplodingGradient"}


def test_drift_is_judged_at_the_start_of_training_only():
    draft = Draft(steps=tuple(range(100, 221, 10)))
    profile("activation", "std", 1.0, 0.5)(draft)
    draft.loss = np.linspace(1, 0.5, 13)
    assert diagnosis.judge(draft.record()) == []
    reasons = diagnosis.not_judged(draft.record())
    assert reasons["PoorWeightInitialization"] == "does not hold the start of training"
    assert reasons["LossAtInit"] == "does not hold a finite loss of the first step"


def test_probabilities_do_not_count_as_drift():
    draft = Draft()
    draft.values["activation"]["std"][:, 2:] = [10**-0.9, 1e-4]
    assert [f.rule for f in diagnosis.judge(draft.record())]
    draft.metadata["layers"][-1]["activation"] = "softmax"
    assert diagnosis.judge(draft.record()) == []


def test_last_layer_may_be_small_on_purpose():
    draft = Draft()
    draft.values["activation"]["std"][:, 3] = 1e-4
    assert diagnosis.judge(draft.record()) == []


def placed(*places):
    """A draft whose layers stand at (net, depth)."""
    draft = Draft()
    for entry, (net, depth) in zip(draft.metadata["layers"], places, strict=True):
        entry["place"] = dict(net=net, depth=depth, hands_on=True, branch=False)
    return draft


@pytest.mark.parametrize("signal", ["activation", "backprop", "gradient"])
def test_layers_side_by_side_are_none_one_behind_another(signal):
    """Nor are those of two networks: a generator and its critic."""
    statistic = {"activation": "std", "backprop": "norm", "gradient": "rms"}[signal]
    change = profile(signal, statistic, 1e-3, 1.5)
    chain = placed((0, 0), (0, 1), (0, 2), (0, 3))
    towers = placed((0, 0), (0, 0), (0, 0), (0, 0))
    nets = placed((0, 0), (1, 0), (2, 0), (3, 0))
    for draft in (chain, towers, nets):
        change(draft)
    drift = {"PoorWeightInitialization", "VanishingGradient"}
    assert drift & {f.rule for f in diagnosis.judge(chain.record())}
    for draft in (towers, nets):
        found = [f for f in diagnosis.judge(draft.record()) if f.rule in drift]
        assert [f for f in found if "decades" in f.message] == []


@pytest.mark.parametrize("signal", ["activation", "backprop", "gradient"])
def test_what_is_on_residual_branches_makes_no_drift(signal):
    statistic = {"activation": "std", "backprop": "norm", "gradient": "rms"}[signal]
    draft = Draft()
    columns = [0, 2, 4, 6] if signal == "gradient" else [0, 1, 2, 3]
    values = draft.values[signal][statistic]
    values[:, columns] *= [1e-6, 1e-4, 1e-2, 1.0]
    drift = ["PoorWeightInitialization", "VanishingGradient"]
    assert diagnosis.judge(draft.record(), drift)
    for entry in draft.metadata["layers"][:2]:
        entry["place"]["branch"] = True
    values[:, columns[2]] = values[:, columns[3]]
    assert diagnosis.judge(draft.record(), drift) == []


@pytest.mark.parametrize("signal", ["activation", "gradient"])
def test_what_is_beside_the_way_makes_no_drift(signal):
    """Queries of the first block and a gate ahead of it have little; others do not."""
    statistic = {"activation": "std", "gradient": "rms"}[signal]
    draft = placed((0, 0), (0, 0), (0, 1), (0, 2))
    columns = [0, 2, 4, 6] if signal == "gradient" else [0, 1, 2, 3]
    draft.values[signal][statistic][:, columns] = [1e-5, 1e-2, 1e-2, 1e-2]
    biases_like_kernels(draft)
    drift = ["PoorWeightInitialization", "VanishingGradient"]
    found = [
        f for f in diagnosis.judge(draft.record(), drift) if "median" not in str(f)
    ]
    assert found == []
    draft.values[signal][statistic][:, columns[1]] = 1e-5
    biases_like_kernels(draft)
    found = [
        f for f in diagnosis.judge(draft.record(), drift) if "median" not in str(f)
    ]
    assert len(found) == 1


def test_slow_drift_counts_where_it_goes_far():
    layers = tuple(f"layer{n}" for n in range(20))
    for decades, told in ((0.12, 1), (0.07, 0)):
        draft = Draft(layers, (256,) * 20)
        draft.values["activation"]["std"][:] = 10.0 ** (-decades * np.arange(20))
        found = diagnosis.judge(draft.record(), rules=["PoorWeightInitialization"])
        assert len(found) == told


def test_layers_of_unlike_size_at_each_depth_make_no_drift():
    """Last layers of branches are small on purpose, the others are not."""
    draft = placed((0, 0), (0, 0), (0, 1), (0, 1))
    for values in ([1.0, 0.05, 1.0, 0.04], [1.0, 0.04, 1.0, 0.05]):
        draft.values["activation"]["std"][:] = values
        assert diagnosis.judge(draft.record(), rules=["PoorWeightInitialization"]) == []


def test_depth_is_that_of_the_graph_not_of_the_record():
    draft = placed((0, 3), (0, 2), (0, 1), (0, 0))
    profile("activation", "std", 1.0, -0.8)(draft)
    (finding,) = diagnosis.judge(draft.record(), rules=["PoorWeightInitialization"])
    assert finding.measured == pytest.approx(2.4)
    assert "grows" in finding.message


def test_gradient_of_one_entry_may_be_small_where_pooling_explains_it():
    """784 positions are averaged: each has 1/784 of the gradient, and all its size."""
    draft = Draft()
    draft.values["backprop"]["rms"][:, :3] /= 784
    draft.values["gradient"]["rms"][:, :4] /= 784
    draft.values["weight"]["rms"][:, :4] *= 784
    draft.values["weight"]["norm"] = draft.values["weight"]["rms"]
    assert diagnosis.judge(draft.record()) == []


def test_variance_is_judged_by_both_fans_and_by_what_follows():
    rules = ["TensorVariance"]

    def found(std, fans, hands_on=True, shape=(11, 32)):
        draft = Draft()
        draft.values["weight"]["std"][0, 2] = std
        entry = draft.metadata["layers"][1]
        entry["weights"]["kernel"] = list(shape)
        entry["fans"] = {"kernel": list(fans)} if fans else {}
        entry["place"]["hands_on"] = hands_on
        return len(diagnosis.judge(draft.record(), rules))

    assert found(0.005, (11, 32)) == 1
    assert found(0.005, (11, 32), hands_on=False) == 0  # ends a branch, or normalized
    assert found(0.03, (2, 3136)) == 0  # Glorot's rule
    assert found(0.5, (9, 9), shape=(3, 3, 256, 1)) == 0  # depthwise
    assert found(3.0, (256, 1), shape=(256, 32)) == 1
    assert found(3.0, None) == 0  # an unknown kind


def test_table_may_be_asked_for_one_row():
    draft = Draft()
    draft.values["activation"]["effective_rank"][:, 0] = np.nan
    rules = ["RepresentationCollapse"]
    assert len(diagnosis.judge(draft.record(), rules)) == 1
    draft.metadata["layers"][0]["roles"] = {"kernel": "table"}
    assert diagnosis.judge(draft.record(), rules) == []


def test_branches_may_start_near_zero_while_the_first_layer_learns():
    draft = Draft()
    draft.values["gradient"]["rms"][:, [0, 2, 4, 6]] = 1e-12
    rules = ["VanishingGradient"]
    assert len(diagnosis.judge(draft.record(), rules)) == 1
    draft.values["gradient"]["rms"][:, 0] = 1e-2
    assert diagnosis.judge(draft.record(), rules) == []


def test_nothing_goes_through_time_without_recurrence():
    """A head that reads token 0 leaves the others without a gradient."""
    for change in (over_time(0.5), over_time(20.0)):
        draft = Draft()
        change(draft)
        assert diagnosis.judge(draft.record())
        del draft.metadata["layers"][1]["roles"]["recurrent_kernel"]
        assert diagnosis.judge(draft.record()) == []


def test_bottleneck_beside_the_way_folds_nothing():
    """A gate of squeeze and excitation; an attention scorer of one unit."""
    rules = ["RankCollapse"]
    draft = Draft()
    draft.values["activation"]["effective_rank"][:, 1] = 1.1
    assert diagnosis.judge(draft.record(), rules) == []
    draft.values["activation"]["effective_rank"][:, 2] = 1.1
    assert diagnosis.judge(draft.record(), rules) == []  # the logits differ
    draft.values["activation"]["effective_rank"][:, 3] = 1.1
    (finding,) = diagnosis.judge(draft.record(), rules)
    assert finding.layer == "dense_1"
    draft.values["activation"]["distinct_units"][:, 1:] = 1
    assert diagnosis.judge(draft.record(), rules) == []
