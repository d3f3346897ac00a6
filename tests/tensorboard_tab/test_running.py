"""Running means, taken apart."""

import numpy as np
import pytest
import tab_logs as logs
from tab_readers import Tab, python_provider

from keras_initkit_light.format.running import Epochs, taken_apart


def running_means(losses, per_epoch):
    """What Keras reports after each step."""
    return np.concatenate(
        [
            np.cumsum(losses[i : i + per_epoch])
            / np.arange(1, len(losses[i : i + per_epoch]) + 1)
            for i in range(0, len(losses), per_epoch)
        ]
    )


@pytest.mark.parametrize(("every", "first"), [(1, 0), (4, 0), (4, 13), (7, 3)])
def test_losses_of_the_steps_between_come_back(every, first):
    losses = np.random.default_rng(0).exponential(size=60)
    means = running_means(losses, 10).astype(np.float32)
    recorded = np.arange(0, 60, every)
    found = taken_apart(recorded + first, means[recorded], Epochs(first, 10))
    for place, step in enumerate(recorded):
        start = max(step - step % 10, recorded[place - 1] + 1 if place else 0)
        expected = losses[start : step + 1].mean()
        assert found[place] == pytest.approx(expected, abs=1e-5)


def test_what_is_no_running_mean_is_left_as_it_is():
    losses = 2.0 ** -np.arange(40)  # of each batch, by a train_step of one's own
    assert taken_apart(np.arange(40), losses, Epochs(0, 20)) is None
    assert taken_apart(np.arange(40), losses, None) is None


def test_a_loss_may_be_negative_and_not_finite():
    losses = np.array([1.0, -3.0, np.nan, 2.0])
    found = taken_apart(np.arange(4), running_means(losses, 3), Epochs(0, 3))
    np.testing.assert_array_equal(found, losses)


def test_steps_that_go_back_begin_anew():
    steps, means = np.array([0, 4, 2, 6, 6]), np.array([3.0, 2.0, 5.0, 4.0, 4.0])
    found = taken_apart(steps, means, Epochs(0, 10))
    # 5 batches with mean 2 hold 1 with mean 3; 7 with mean 4 hold 3 with mean 5.
    np.testing.assert_allclose(found, [3, 7 / 4, 5, 13 / 4, 4])


@pytest.mark.parametrize(
    "metadata",
    [
        None,
        {},
        {"fit": None},
        {"fit": {"first_step": 0}},
        {"fit": {"first_step": 0, "steps_per_epoch": None}},
        {"fit": {"first_step": 0, "steps_per_epoch": 0}},
        {"fit": {"first_step": "0", "steps_per_epoch": 3}},
        {"fit": [1, 2]},
    ],
)
def test_metadata_that_do_not_tell_the_epochs(metadata):
    assert Epochs.of(metadata) is None


@pytest.fixture
def losses_shown(tmp_path):
    """A function from what a run says of its epochs to what the tab shows."""

    def show(fit, **query):
        losses = np.linspace(2, 1, 30)
        run = logs.Run(tmp_path / "run")
        run.step(0)
        run.writer.write_run(0, {"fit": fit})
        for step, mean in enumerate(running_means(losses, 10)):
            run.writer.write_metrics(step, {"accuracy": mean, "loss": mean})
        run.close()
        with python_provider(tmp_path, 100) as provider:
            found = Tab(provider).values("/metrics", **query)
        ((names, steps, values),) = found["run"]
        assert names == ["accuracy", "loss"]
        return losses[steps], dict(zip(names, values.T, strict=True))

    return show


@pytest.mark.parametrize("samples", [400, 7])
def test_tab_shows_the_loss_of_steps(losses_shown, samples):
    losses, shown = losses_shown(
        {"first_step": 0, "steps_per_epoch": 10}, samples=samples
    )
    np.testing.assert_allclose(shown["loss"], losses, atol=1e-5)
    # Of other metrics nobody knows that they are means.
    assert np.abs(shown["accuracy"] - losses).max() > 0.1


def test_tab_shows_what_keras_reports_where_epochs_are_unknown(losses_shown):
    _, shown = losses_shown({"first_step": 0, "steps_per_epoch": None})
    np.testing.assert_array_equal(shown["loss"], shown["accuracy"])


def float32(losses, per_epoch):
    return running_means(losses, per_epoch).astype(np.float32).astype(float)


def test_what_rounding_leaves_nothing_of_stays_a_mean():
    losses = np.full(40, 2.3)
    losses[0] = 1e9
    means = float32(losses, 20)
    found = taken_apart(np.arange(40), means, Epochs(0, 20))
    np.testing.assert_array_equal(found[:20], means[:20])
    np.testing.assert_allclose(found[20:], 2.3, rtol=1e-4)


def test_losses_of_zero_are_zero_up_to_rounding():
    losses = np.where(np.arange(60) % 3 == 2, 0.0, 0.7)
    found = taken_apart(np.arange(60), float32(losses, 30), Epochs(0, 30))
    assert (found >= 0).all()
    np.testing.assert_allclose(found, losses, atol=1e-5)
