"""`ResumePoint`: an interrupted training ends as one that was never interrupted."""

import io

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_initkit as kik
from keras_initkit.recording import RunDamagedError

EPOCHS, BATCHES = 5, 4
X = np.random.default_rng(0).normal(size=(BATCHES * 8, 6)).astype("float32")
Y = (X[:, :1] * X[:, 1:2]).astype("float32")


def build(optimizer="adam"):
    """A model with everything that has a state of its own."""
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.layers.Input((6,)),
            keras.layers.Dense(16, "relu"),
            keras.layers.BatchNormalization(),
            keras.layers.Dropout(0.3),
            keras.layers.Dense(1),
        ]
    )
    model.compile(optimizer, "mse", metrics=["mae"])
    return model


def batches(epochs):
    """Batches whose order follows from the number of the epoch."""

    def rows(epoch):
        order = tf.random.experimental.stateless_shuffle(tf.range(len(X)), [0, epoch])
        return tf.data.Dataset.from_tensor_slices(order).batch(8)

    numbers = tf.data.Dataset.range(epochs.start, epochs.stop, output_type=tf.int32)
    return numbers.flat_map(rows).map(
        lambda row: (tf.gather(X, row), tf.gather(Y, row))
    )


class Interruption(keras.callbacks.Callback):
    def __init__(self, epoch):
        super().__init__()
        self.interrupts = epoch

    def on_epoch_begin(self, epoch, logs=None):
        self.now = epoch

    def on_train_batch_end(self, batch, logs=None):
        if self.now == self.interrupts and batch == BATCHES // 2:
            raise KeyboardInterrupt


def stateful_callbacks():
    """Callbacks whose memory decides how this training goes."""
    return [
        keras.callbacks.ReduceLROnPlateau("loss", 0.5, patience=2, min_delta=0.5),
        keras.callbacks.EarlyStopping(patience=3, restore_best_weights=True),
    ]


def train(path, model, interrupted=None, others=stateful_callbacks):
    """Trains as far as it gets; returns the numbers of the epochs begun."""
    callbacks = others()
    resume = kik.ResumePoint(path, callbacks=callbacks)
    epochs = resume.restore(model, EPOCHS)
    begun = []
    told = keras.callbacks.LambdaCallback(
        on_epoch_begin=lambda epoch, logs: begun.append(epoch)
    )
    interruption = [] if interrupted is None else [Interruption(interrupted)]
    try:
        model.fit(
            batches(epochs),
            shuffle=False,
            steps_per_epoch=BATCHES,
            initial_epoch=epochs.start,
            epochs=epochs.stop,
            # Gets worse while the model learns.
            validation_data=(X[:16], -Y[:16]) if callbacks else None,
            callbacks=[*callbacks, told, resume, *interruption],
            verbose=0,
        )
    except KeyboardInterrupt:
        assert interrupted is not None
    return begun


def state_of(model):
    if not model.optimizer.built:
        model.optimizer.build(model.trainable_variables)
    return [v.numpy() for v in (*model.variables, *model.optimizer.variables)]


def put_back(model, state):
    variables = [*model.variables, *model.optimizer.variables]
    for variable, value in zip(variables, state, strict=True):
        variable.assign(value)


def assert_same_bits(one, other):
    for a, b in zip(state_of(one), state_of(other), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    model = build()
    begun = train(tmp_path_factory.mktemp("whole") / "resume.npz", model)
    assert begun == [0, 1, 2, 3]  # stopped early
    return model


@pytest.mark.parametrize("interrupted", [0, 2])
def test_goes_on_to_the_same_bits(undisturbed, tmp_path, interrupted):
    path = tmp_path / "run" / "resume.npz"
    begun = train(path, build(), interrupted)
    assert begun == [*range(interrupted + 1)]

    model = build()
    begun = train(path, model)

    assert begun == [*range(interrupted, 4)]
    assert_same_bits(model, undisturbed)


OPTIMIZERS = {
    "loss scaled": lambda: keras.optimizers.LossScaleOptimizer(
        keras.optimizers.Adam(), initial_scale=2.0**20, dynamic_growth_steps=3
    ),
    "averaged, accumulated, scheduled": lambda: keras.optimizers.SGD(
        keras.optimizers.schedules.CosineDecay(1e-2, EPOCHS * BATCHES),
        momentum=0.9,
        use_ema=True,
        gradient_accumulation_steps=3,
    ),
}


@pytest.mark.parametrize("optimizer", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_goes_on_with_what_the_optimizer_keeps(tmp_path, optimizer):
    model = build(optimizer())
    path = tmp_path / "resume.npz"
    train(tmp_path / "whole.npz", model, others=list)
    # One model again and again, put back to its start: it is traced only once.
    ends, start = state_of(model), state_of(build(optimizer()))
    put_back(model, start)
    train(path, model, interrupted=2, others=list)
    put_back(model, start)
    assert train(path, model, others=list) == [2, 3, 4]
    for now, end in zip(state_of(model), ends, strict=True):
        np.testing.assert_array_equal(now, end)


def test_a_training_that_has_ended_does_not_go_on(undisturbed, tmp_path):
    path = tmp_path / "resume.npz"
    train(path, build())
    model = build()
    assert train(path, model) == []
    assert_same_bits(model, undisturbed)  # the best weights, not the last

    callbacks = stateful_callbacks()
    resume = kik.ResumePoint(path, callbacks=callbacks)
    assert resume.restore(build(), epochs=2) == range(4, 4)
    resume.clear()
    assert resume.restore(build(), epochs=2) == range(2)


def small():
    keras.utils.set_random_seed(0)
    dense = keras.layers.Dense(1, dtype="bfloat16")
    model = keras.Sequential([keras.layers.Input((6,)), dense])
    model.compile(keras.optimizers.SGD(0.1, momentum=0.9), "mse")
    return model


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A small model whose file holds all epochs, and the file."""
    model, path = small(), tmp_path_factory.mktemp("trained") / "resume.npz"
    train(path, model, others=list)
    return model, path


def test_weights_of_half_precision_come_back(trained):
    model, path = trained
    resumed = small()
    kik.ResumePoint(path).restore(resumed, EPOCHS)
    assert resumed.layers[0].kernel.dtype == "bfloat16"
    assert_same_bits(resumed, model)


def test_a_longer_training_goes_on_where_a_shorter_ended(trained):
    resume = kik.ResumePoint(trained[1])
    assert resume.restore(small(), epochs=9) == range(EPOCHS, 9)
    assert len(resume.restore(small(), epochs=3)) == 0
    assert resume.epoch == EPOCHS


def test_a_crash_while_the_file_is_written_loses_that_epoch_only(tmp_path, monkeypatch):
    path = tmp_path / "resume.npz"
    model = small()
    train(path, model, interrupted=1, others=list)

    def crash(file, **state):
        file.write(b"half")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(np, "savez", crash)
        train(path, model, interrupted=EPOCHS, others=list)
    assert kik.ResumePoint(path).restore(small(), EPOCHS) == range(1, EPOCHS)


def test_state_of_another_model_or_other_callbacks_is_refused(trained):
    _, path = trained
    other = keras.Sequential([keras.layers.Input((6,)), keras.layers.Dense(2)])
    other.compile("adam", "mse")
    before = state_of(other)
    with pytest.raises(ValueError, match=r"`path` must hold .* of this model: 8 v"):
        kik.ResumePoint(path).restore(other, EPOCHS)
    for now, then in zip(state_of(other), before, strict=True):
        np.testing.assert_array_equal(now, then)
    model = small()
    before = state_of(model)
    with pytest.raises(ValueError, match=r"`callbacks` must be those .* 0 of them"):
        kik.ResumePoint(path, callbacks=stateful_callbacks()).restore(model, EPOCHS)
    for now, then in zip(state_of(model), before, strict=True):
        np.testing.assert_array_equal(now, then)


def test_other_settings_than_those_of_the_interrupted_run_are_refused(tmp_path):
    path = tmp_path / "resume.npz"
    model = small()
    settings = {"learning_rate": 0.1, "limit": None}
    resume = kik.ResumePoint(path, settings=settings)
    model.fit(np.ones((8, 6)), np.ones(8), verbose=0, callbacks=[resume])
    assert kik.ResumePoint(path, settings=settings).restore(small(), 3) == range(1, 3)
    other = kik.ResumePoint(path, settings={"learning_rate": 0.5, "limit": None})
    with pytest.raises(ValueError, match=r"`settings` .*0\.1.* Received: .*0\.5"):
        other.restore(small(), 3)


def fitted(path, epochs, callbacks=()):
    """Fits a small model without asking `restore`; returns it and the epochs begun."""
    begun = []
    told = keras.callbacks.LambdaCallback(on_epoch_begin=lambda e, _: begun.append(e))
    model = small()
    resume = kik.ResumePoint(path)
    fitting = [told, resume, *callbacks]
    model.fit(X, Y, 8, epochs, shuffle=False, callbacks=fitting, verbose=0)
    return model, begun


def test_fit_goes_on_by_itself(tmp_path):
    whole, _ = fitted(tmp_path / "whole.npz", EPOCHS)
    path = tmp_path / "resume.npz"
    with pytest.raises(KeyboardInterrupt):
        fitted(path, EPOCHS, [Interruption(3)])
    model, begun = fitted(path, EPOCHS)
    assert begun == [3, 4]
    assert_same_bits(model, whole)
    model, begun = fitted(path, EPOCHS)
    assert begun == []
    assert_same_bits(model, whole)
    # A later `fit` of the model without a resume point begins where it is told to.
    history = model.fit(X, Y, 8, 2, verbose=0)
    assert history.epoch == [0, 1]


def test_a_second_fit_is_not_put_back(tmp_path):
    model, resume = small(), kik.ResumePoint(tmp_path / "resume.npz")
    for _ in range(2):
        history = model.fit(X, Y, 8, 2, verbose=0, callbacks=[resume])
        assert history.epoch == [0, 1]
    assert model.optimizer.iterations.numpy() == 2 * 2 * BATCHES


def saved(**arrays):
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def damaged(path, how):
    content = bytearray(path.read_bytes())
    if how == "cut":
        del content[-7:]
    elif how == "flipped":
        content[len(content) // 3] ^= 1
    elif how == "empty":
        content.clear()
    elif how == "foreign":
        content = saved(x=np.zeros(3))
    elif how == "pickled":
        content = saved(epoch=np.array([{}], object))
    path.write_bytes(content)


@pytest.mark.parametrize("how", ["cut", "flipped", "empty", "foreign", "pickled"])
def test_the_file_before_stands_in_for_a_damaged_one(tmp_path, how):
    path = tmp_path / "resume.npz"
    fitted(path, 3)
    damaged(path, how)
    resume = kik.ResumePoint(path)
    with pytest.warns(UserWarning, match=r"resumes from the previous epoch"):
        assert resume.restore(small(), EPOCHS) == range(2, EPOCHS)
    damaged(resume._previous, how)
    with pytest.raises(RunDamagedError, match=r"`clear\(\)` removes it") as raised:
        kik.ResumePoint(path).restore(small(), EPOCHS)
    assert raised.value.path == str(path)
    resume.clear()
    assert not list(tmp_path.iterdir())


def test_a_crash_between_two_files_loses_that_epoch_only(tmp_path):
    path = tmp_path / "resume.npz"
    fitted(path, 3)
    path.unlink()
    assert kik.ResumePoint(path).restore(small(), EPOCHS) == range(2, EPOCHS)


def rewritten(path, name, value):
    with np.load(path) as file:
        arrays = dict(file)
    np.savez(path, **{**arrays, name: value})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("epoch", np.array("3")),
        ("epoch", np.array(-1)),
        ("epoch", np.zeros(2, int)),
        ("stopped", np.array(2.5)),
        ("settings", np.array("[]")),
        ("settings", np.array("{")),
        ("runs", np.array("3")),
        ("variable/7", np.zeros(1)),
    ],
)
def test_a_state_that_none_can_be_is_refused(tmp_path, name, value):
    path = tmp_path / "resume.npz"
    fitted(path, 1)
    rewritten(path, name, value)
    with pytest.raises(RunDamagedError, match=r"must be an undamaged training state"):
        kik.ResumePoint(path).restore(small(), EPOCHS)


def test_variables_of_another_type_are_refused(tmp_path):
    path = tmp_path / "resume.npz"
    fitted(path, 1)
    rewritten(path, "variable/1", np.array(["x"]))
    model = small()
    before = state_of(model)
    with pytest.raises(ValueError, match=r"`path` must hold the state .* str"):
        kik.ResumePoint(path).restore(model, EPOCHS)
    for now, then in zip(state_of(model), before, strict=True):
        np.testing.assert_array_equal(now, then)


@pytest.mark.parametrize("asked", [True, False])
def test_a_resumed_training_goes_on_with_its_run(tmp_path, asked):
    path, logs = tmp_path / "resume.npz", tmp_path / "logs"
    monitor = kik.SignalMonitor(logs, every=1)
    with pytest.raises(KeyboardInterrupt):
        fitted(path, 4, [monitor, Interruption(2)])
    model, monitor = small(), kik.SignalMonitor(logs, every=1)
    resume = kik.ResumePoint(path)
    first = resume.restore(model, 4).start if asked else 0
    callbacks = [monitor, resume]
    fitting = {"initial_epoch": first, "shuffle": False, "verbose": 0}
    model.fit(X, Y, 8, 4, callbacks=callbacks, **fitting)
    (run,) = kik.RunRecord.runs(logs)
    assert run.fits == 2
    loaded = kik.RunRecord.load(logs)
    assert not loaded.missing
    assert loaded.signal("weight").steps.tolist() == [*range(4 * BATCHES)]
    # The next training of this model is another one.
    model.fit(X, Y, 8, verbose=0, callbacks=[kik.SignalMonitor(logs, every=1)])
    assert len(kik.RunRecord.runs(logs)) == 2
