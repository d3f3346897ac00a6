"""How a training ended: still falling, on a plateau with dead parts, by heart."""

import keras
import numpy as np
import pytest
from records import Draft, moments

import keras_initkit as kik
from keras_initkit import diagnosis

STEPS = tuple(range(0, 201, 10))


def draft(losses, epochs=201, **facts):
    made = Draft(steps=STEPS)
    made.loss = np.asarray(losses, float)
    made.metadata["fit"]["epochs"] = epochs
    made.metadata |= facts
    return made


def rules(made):
    return [one.rule for one in diagnosis.review(made.record())]


def line(start, end):
    return np.linspace(start, end, len(STEPS))


SQUARES = {
    "loss": {
        "name": "mean_squared_error",
        "from_logits": None,
        "reduction": "sum_over_batch_size",
        "weighted": False,
    },
    "target": moments(0.0, 2.0, -4.0, 4.0),
}


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        # In as many steps again half of what it fell so far: 0.35 of 2.3 nats.
        (draft(line(2.3, 1.5)), ["TooFewEpochs"]),
        (draft(line(4.0, 2.0), **SQUARES), ["TooFewEpochs"]),
        # It slows down, or has little left to learn.
        (draft(2.3 - 0.4 * (1 - np.exp(-np.arange(21)))), []),
        (draft(line(2.3, 0.3)), []),
        # So little is learnt that any fall says it, if it does not slow down.
        (draft(line(2.3, 2.2)), ["TooFewEpochs"]),
        (draft(2.3 - 0.1 * np.sqrt(line(0, 1))), []),
        # Someone ended it; nobody knows how long it was to be.
        (draft(line(2.3, 1.5), epochs=400), []),
        (draft(line(2.3, 1.5), epochs=None), []),
    ],
)
def test_a_loss_that_still_falls_at_the_end(made, expected):
    assert rules(made) == expected


def test_noise_is_no_fall():
    noise = np.random.default_rng(0).normal(0, 0.3, len(STEPS))
    assert rules(draft(1.5 + 0.01 * line(1, 0) + noise)) == []


def test_a_training_that_is_over_before_it_has_begun():
    noise = np.random.default_rng(0).normal(0, 0.1, 10)
    brief = Draft(steps=tuple(range(0, 50, 5)))
    brief.loss = 2.3 + noise
    brief.metadata["fit"]["epochs"] = 50
    assert rules(brief) == ["TooFewEpochs"]
    brief.loss = 1.7 + noise
    assert rules(brief) == []
    long = Draft(steps=tuple(range(0, 200, 20)))
    long.loss = 2.2 + noise
    long.metadata["fit"]["epochs"] = 200
    assert "TooFewEpochs" not in rules(long)


def by_epochs(fall, seed):
    """Batches that differ by far more than their epochs, of the same examples each."""
    rng = np.random.default_rng(seed)
    batches = rng.normal(2.2, 0.3, 7)
    epochs = [rng.permutation(batches) - fall * n for n in range(20)]
    made = Draft(steps=tuple(range(140)))
    made.metadata["fit"] |= {"epochs": 20, "steps_per_epoch": 7}
    counts = np.arange(1, 8)
    made.loss = np.concatenate([np.cumsum(one) / counts for one in epochs])
    return rules(made)


def test_a_fall_that_only_whole_epochs_show():
    assert by_epochs(0.005, 0) == ["TooFewEpochs"]
    still = [by_epochs(0.0, seed) for seed in range(20)]
    assert not any("TooFewEpochs" in found for found in still)


def test_a_plateau_beside_dead_units_follows_from_them():
    made = draft(np.r_[2.4, 2.0, 1.6, np.full(18, 1.5)])
    assert rules(made) == []
    made.values["activation"]["dead_fraction"][3:, 1] = 0.95
    found = diagnosis.review(made.record())
    assert [(one.rule, one.because_of) for one in found] == [
        ("DeadRelu", None),
        ("Plateau", "DeadRelu"),
    ]
    # One that goes on learning beside them stands on none.
    made.loss = line(2.4, 1.5)
    assert "Plateau" not in rules(made)


def validated(losses):
    made = draft(2.3 * 0.97 ** np.arange(len(STEPS)), epochs=400)
    record = made.record()
    for step, loss in zip(STEPS[::2], losses, strict=False):
        record.add_scalars(step, {"val_loss": loss})
    return [one.rule for one in diagnosis.review(record)]


@pytest.mark.parametrize(
    ("losses", "expected"),
    [
        ([2.0, 1.5, 1.2, 1.3, 1.4, 1.6], ["Overfitting"]),
        ([2.0, 1.5, 1.2, 1.25, 1.3], []),
        ([2.0, 1.5, 1.2, 1.1, 1.4], []),
        ([2.0, 1.5, 1.4, 1.3, 1.2], []),
        ([2.0, 1.1, 1.9, 1.2, 2.0, 1.3], []),
        ([2.0, 1.5], []),
    ],
    ids=["rises", "a little", "once", "falls", "scatters", "too few"],
)
def test_validation_loss_that_rises_again(losses, expected):
    assert validated(losses) == expected


def test_every_review_declares_what_users_read():
    assert set(diagnosis.REVIEWS) == {"TooFewEpochs", "Plateau", "Overfitting"}
    for rule in diagnosis.REVIEWS.values():
        assert rule.summary.endswith(".")
        assert rule.reference
        assert rule.name not in diagnosis.RULES


def memorized(log_dir=None, epochs=12):
    """A model with more weights than examples, on labels without any rule."""
    keras.utils.set_random_seed(0)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(128, 20)).astype("float32")
    y = rng.integers(0, 2, (128, 1))
    layers = [keras.layers.Dense(128, "relu"), keras.layers.Dense(1, "sigmoid")]
    model = keras.Sequential([keras.Input((20,)), *layers])
    model.compile(keras.optimizers.Adam(0.01), "binary_crossentropy")
    monitor = kik.SignalMonitor(log_dir, every=1)
    model.fit(
        x[:64],
        y[:64],
        batch_size=16,
        epochs=epochs,
        validation_data=(x[64:], y[64:]),
        verbose=0,
        callbacks=[monitor],
    )
    return monitor.record


def test_a_model_that_learns_by_heart_is_told_so_from_its_log(tmp_path):
    record = memorized(tmp_path)
    found = kik.review(record)
    assert [one.rule for one in found] == ["Overfitting"]
    read = kik.RunRecord.load(tmp_path)
    assert read.scalars["val_loss"] == record.scalars["val_loss"]
    assert len(read.scalars["val_loss"][0]) == 12
    assert [one.rule for one in kik.review(read)] == ["Overfitting"]
