"""The verdict: who learned, which differences are told, and how often wrongly."""

import math

import numpy as np
import pytest
import scipy.stats

from keras_initkit.experiments.verdict import Constant, seeds_needed, share_of, verdict
from keras_initkit.experiments.verdict.paired import paired_t
from tests.experiments.results import result_of

STUCK = 0.1135  # the largest class of MNIST's test set


def runs_of(label, accuracies):
    return [
        result_of(
            label,
            seed,
            accuracy=float(accuracy),
            loss_final=math.nan if math.isnan(accuracy) else 0.3,
            learned=bool(accuracy > STUCK),
        )
        for seed, accuracy in enumerate(accuracies)
    ]


def judged(**accuracies):
    return verdict([{name: runs_of(name, v) for name, v in accuracies.items()}])


def test_interval_of_a_share_is_that_of_clopper_and_pearson():
    for count, total in [(0, 3), (2, 3), (3, 3), (7, 20)]:
        low, high = share_of(count, total)
        at_least, at_most = count, total - count
        if count:  # the ends are where the tails hold 2.5 %
            tail = scipy.stats.binom.sf(at_least - 1, total, low)
            assert tail == pytest.approx(0.025)
        if at_most:
            tail = scipy.stats.binom.cdf(count, total, high)
            assert tail == pytest.approx(0.025)
    assert share_of(0, 3)[0] == 0
    assert share_of(3, 3)[1] == 1


def test_constant_of_classes_is_the_largest_one():
    y = np.array([0, 0, 0, 1] * 1000)
    loss = "sparse_categorical_crossentropy"
    constant = Constant.of(y, loss, "accuracy")
    assert constant.accuracy == 0.75
    entropy = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))
    assert constant.loss == pytest.approx(entropy)
    chance = 0.75 + 3 * math.sqrt(0.75 * 0.25 / 4000)
    assert constant.judge(chance + 1e-6, 9.0).learned is True
    assert constant.judge(chance - 1e-6, 0.1).learned is False
    assert constant.judge(0.9, math.nan).learned is False


def test_tiny_test_sets_are_judged_by_the_loss():
    y = np.array([0, 1, 1, 0])
    constant = Constant.of(y, "mean_squared_error", "accuracy")
    assert constant.loss == 0.25
    assert constant.judge(0.75, 0.2499).learned is False
    assert constant.judge(0.5, 0.24).learned is True


def test_what_has_no_known_constant_is_not_judged():
    constant = Constant.of(np.array([0.5, 1.5]), None, None)
    learned, reason = constant.judge(math.nan, 0.1)
    assert learned is None
    assert reason.startswith("not judged, because ")
    assert Constant.of(np.array(["a", "b"]), "mse", None).loss is None


def test_constant_of_numbers_is_mean_or_median():
    y = np.array([0.0, 0.0, 9.0])
    assert Constant.of(y, "mean_squared_error", None).loss == pytest.approx(18.0)
    assert Constant.of(y, "mean_absolute_error", None).loss == pytest.approx(3.0)


def test_a_metric_that_is_no_accuracy_has_no_largest_class():
    y = np.array([0, 1, 1, 1])
    assert Constant.of(y, None, "auc").accuracy is None
    assert Constant.of(y, None, "accuracy").accuracy == 0.75


def test_means_are_compared_among_those_that_all_learned():
    found = judged(
        good=[0.9, 0.91, 0.92], fair=[0.8, 0.81, 0.83], half=[0.9, STUCK, 0.9]
    )
    assert {(s.label, s.learned, s.runs) for s in found.shares} == {
        ("good", 3, 3),
        ("fair", 3, 3),
        ("half", 2, 3),
    }
    assert list(found.means) == ["good", "fair"]
    assert found.left_out == {
        "half": "not compared, because not all of its runs learned"
    }
    assert found.of("good", "half") is None
    (one,) = found.differences
    assert (one.better, one.worse, one.seeds) == ("good", "fair", 3)
    assert one.mean == pytest.approx(0.29 / 3)


def test_one_comparison_is_the_paired_t_test():
    a, b = [0.9, 0.95, 0.97, 0.91], [0.85, 0.93, 0.92, 0.9]
    one = judged(a=a, b=b).of("a", "b")
    reference = scipy.stats.ttest_rel(a, b)
    interval = reference.confidence_interval(0.95)
    assert one.p == pytest.approx(reference.pvalue)
    assert (one.low, one.high) == pytest.approx((interval.low, interval.high))


def test_losses_are_compared_where_there_is_no_accuracy():
    def of(label, losses):
        return [
            result_of(label, seed, accuracy=math.nan, loss_final=loss, learned=True)
            for seed, loss in enumerate(losses)
        ]

    found = verdict([{"low": of("low", [1.0, 1.1]), "high": of("high", [2.0, 2.2])}])
    assert found.measure == "loss_final"
    assert found.means == {"low": pytest.approx(1.05), "high": pytest.approx(2.1)}
    assert found.differences[0].better == "low"


def test_a_tie_says_how_many_seeds_would_tell_it():
    one, *_ = judged(a=[0.90, 0.92, 0.91], b=[0.91, 0.90, 0.905]).differences
    assert not one.differs
    assert one.low < 0 < one.high
    text = judged(a=[0.90, 0.92, 0.91], b=[0.91, 0.90, 0.905]).lines()[-1]
    assert text.startswith(
        "a and b are not distinguishable with 3 seeds (0.5 points apart"
    )
    assert text.endswith(f"; about {one.needed} would resolve 0.5 points)")


@pytest.mark.parametrize(("std", "tests"), [(0.5, 1), (1.0, 1), (2.0, 28)])
def test_so_many_seeds_have_the_power_they_are_told_for(std, tests):
    seeds = seeds_needed(1.0, std, tests)
    quantile = scipy.stats.t.isf(0.05 / (2 * tests), seeds - 1)
    power = scipy.stats.nct.sf(quantile, seeds - 1, math.sqrt(seeds) / std)
    assert 0.75 < power < 0.92  # a step of one seed is coarse where they are few


def test_seeds_that_no_one_runs_are_not_counted():
    assert seeds_needed(1e-6, 1.0) is None
    assert seeds_needed(0.0, 1.0) is None


def test_zero_variance_is_no_certainty():
    # Three seeds with the same gap of one test example in four.
    step = 0.25
    runs = {
        name: runs_of(name, values)
        for name, values in {"a": [1.0] * 3, "b": [0.75] * 3}.items()
    }
    (one,) = verdict([runs], resolution=step).differences
    assert one.std == step
    assert not one.differs
    same = judged(a=[0.5, 0.6, 0.7], b=[0.5, 0.6, 0.7]).differences[0]
    assert (same.mean, same.p, same.differs, same.needed) == (0.0, 1.0, False, None)


def test_one_seed_is_no_comparison():
    found = judged(a=[0.9], b=[0.5])
    assert found.differences == ()
    assert found.left_out["a"] == (
        "not compared, because one seed does not show how much seeds differ"
    )


def test_only_seeds_of_both_are_paired():
    families = {"a": runs_of("a", [0.9, 0.91, 0.92]), "b": runs_of("b", [0.8, 0.83])}
    (one,) = verdict([families]).differences
    assert one.seeds == 2
    assert one.mean == pytest.approx(0.09)


def test_intervals_agree_with_what_holm_tells():
    generator = np.random.default_rng(0)
    disagreed = 0
    for _ in range(200):
        values = generator.normal(size=(4, 5)) + np.array([[0], [0], [2], [3]])
        names = dict(zip("abcd", 0.5 + values / 100, strict=True))
        for one in judged(**names).differences:
            assert one.differs == (one.p <= 0.05)
            assert one.differs == (one.low >= 0)
            disagreed += one.differs and one.low == 0
    assert disagreed  # where Holm tells more than the interval alone


# Null sweeps: all initializers are alike.


def normal(generator, size):
    return 0.9 + 0.01 * generator.normal(size=size)


def heavy_tailed(generator, size):
    return 0.9 + 0.005 * generator.standard_t(2, size=size)


def partly_stuck(generator, size):
    return np.where(generator.random(size) < 0.5, STUCK, normal(generator, size))


def partly_nan(generator, size):
    return np.where(generator.random(size) < 0.2, np.nan, normal(generator, size))


def stuck_above_chance(generator, size):
    """Runs that stop halfway, where they are better than a constant."""
    return np.where(generator.random(size) < 0.5, 0.3, normal(generator, size))


NULLS = [normal, heavy_tailed, partly_stuck, partly_nan, stuck_above_chance]


def share_of_false_differences(draw, initializers, seeds, sweeps):
    generator = np.random.default_rng(0)
    wrong = 0
    for _ in range(sweeps):
        table = draw(generator, (initializers, seeds))
        labels = {f"init{i}": row for i, row in enumerate(table)}
        wrong += any(one.differs for one in judged(**labels).differences)
    return wrong / sweeps


def most_by_chance(sweeps):
    """0.05 and three standard errors of a share of 0.05."""
    return 0.05 + 3 * math.sqrt(0.05 * 0.95 / sweeps)


@pytest.mark.parametrize("draw", NULLS)
def test_null_sweeps_of_three_seeds_tell_no_difference(draw):
    assert share_of_false_differences(draw, 4, 3, 200) <= most_by_chance(200)


@pytest.mark.slow
@pytest.mark.parametrize("seeds", [3, 5, 10])
@pytest.mark.parametrize("initializers", [2, 4, 8])
@pytest.mark.parametrize("draw", NULLS)
def test_null_sweeps_tell_no_difference(draw, initializers, seeds):
    share = share_of_false_differences(draw, initializers, seeds, 2000)
    print(f"{draw.__name__} {initializers} initializers {seeds} seeds: {share:.3f}")
    assert share <= most_by_chance(2000)


def test_a_plain_t_test_tells_false_differences_of_stuck_runs():
    """What the verdict guards against: the same sweeps, all means compared."""
    generator = np.random.default_rng(0)
    wrong = 0
    for _ in range(200):
        table = partly_stuck(generator, (8, 3))
        gaps = [table[i] - table[j] for i in range(8) for j in range(i)]
        stds = np.array([gap.std(ddof=1) for gap in gaps])
        means = np.array([abs(gap.mean()) for gap in gaps])
        some = means > 0  # two that are stuck in all seeds are alike
        with np.errstate(divide="ignore"):
            t = means[some] / (stds[some] / math.sqrt(3))
        p = 2 * scipy.stats.t.sf(t, 2)
        wrong += bool((p * len(gaps)).min(initial=1.0) <= 0.05)
    assert wrong / 200 > 0.3
    assert share_of_false_differences(partly_stuck, 8, 3, 200) <= most_by_chance(200)


def power(gap, seeds, initializers, sweeps):
    """Share of sweeps that tell one better initializer from all others."""
    generator = np.random.default_rng(0)
    told = 0
    for _ in range(sweeps):
        table = normal(generator, (initializers, seeds))
        table[0] += gap
        labels = {f"init{i}": row for i, row in enumerate(table)}
        found = judged(**labels)
        told += all(
            found.of("init0", f"init{i}").differs for i in range(1, initializers)
        )
    return told / sweeps


def test_a_true_difference_is_told_with_enough_seeds():
    # Two standard deviations of the difference, of which ten seeds tell nearly all.
    gap = 2 * 0.01 * math.sqrt(2)
    assert power(gap, 10, 2, 100) > 0.95
    assert power(gap, 10, 2, 100) > power(gap, 3, 2, 100)


@pytest.mark.slow
def test_power_is_as_published():
    for seeds in (3, 5, 10, 20):
        for initializers in (2, 4, 8):
            gap = 2 * 0.01 * math.sqrt(2)
            share = power(gap, seeds, initializers, 500)
            print(f"{initializers} initializers, {seeds} seeds: power {share:.2f}")
            assert seeds < 20 or share > 0.8


def test_no_test_takes_less_than_the_usual_scatter():
    gaps = [np.array([0.1, 0.1, 0.1]), np.array([0.0, 0.2, -0.1])]
    tests = paired_t([*gaps, -gaps[1]])
    assert tests.std[0] == tests.std[1] == pytest.approx(gaps[1].std(ddof=1))
