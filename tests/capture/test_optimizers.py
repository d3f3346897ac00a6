"""Every optimizer of Keras ends at the same bits, watched or not."""

import keras
import numpy as np
import pytest

import keras_initkit as kik

RNG = np.random.default_rng(0)
# The last execution of each epoch has fewer steps than the others.
BATCH, BATCHES, EPOCHS = 8, 6, 2
X = RNG.integers(0, 12, (BATCH * BATCHES, 5))
Y = RNG.normal(size=(BATCH * BATCHES, 1)).astype("float32")

WRAPPERS = {
    "LossScaleOptimizer": lambda: keras.optimizers.LossScaleOptimizer(
        keras.optimizers.SGD(0.01)
    ),
    "MultiOptimizer": lambda: keras.optimizers.MultiOptimizer(
        keras.optimizers.OptimizerMap(
            keras.optimizers.SGD(0.01), {".*dense.*": keras.optimizers.Adam(0.01)}
        )
    ),
}


def optimizers():
    """`{name: function that makes one}` of all classes of `keras.optimizers`."""
    found = {
        name: one
        for name, one in vars(keras.optimizers).items()
        if isinstance(one, type) and issubclass(one, keras.optimizers.Optimizer)
    }
    del found["Optimizer"]  # what they have in common
    return {name: WRAPPERS.get(name, one) for name, one in found.items()}


def trained(make, dtype, monitors=(), **options):
    """Trains a model; returns the bytes of all variables and the loss of each epoch."""
    keras.utils.clear_session(free_memory=False)
    keras.utils.set_random_seed(1)
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(dtype)  # by which `compile` scales the loss
    try:
        model = keras.Sequential(
            [
                keras.Input((5,)),
                keras.layers.Embedding(12, 4),  # has sparse gradients
                keras.layers.Flatten(),
                keras.layers.Dense(6, "relu"),
                keras.layers.BatchNormalization(),
                keras.layers.Dense(1),
            ]
        )
        model.compile(make(), "mse", **options)
    finally:
        keras.config.set_dtype_policy(before)
    history = model.fit(
        X,
        Y,
        batch_size=BATCH,
        epochs=EPOCHS,
        shuffle=False,
        verbose=0,
        callbacks=list(monitors),
    )
    variables = [*model.variables, *model.optimizer.variables]
    return [np.asarray(one).tobytes() for one in variables], history.history["loss"]


WAYS = [
    (dtype, eagerly, steps)
    for dtype in ("float32", "mixed_float16")
    for eagerly in (False, True)
    for steps in (1, 4)
]
# In the default run each way of training comes once, with an optimizer that is odd.
DEFAULT = zip(
    (
        "ScheduleFreeAdamW",  # assigns in `build`
        "LossScaleOptimizer",
        "MultiOptimizer",
        "SGD",  # has no variables of its own
        "Adafactor",
        "Muon",
        "ScheduleFreeAdamW",
        "AdamW",
    ),
    WAYS,
    (3, 1, 3, 3, 1, 3, 3, 3),
    strict=True,
)
BRIEF = {(name, *way, every) for name, way, every in DEFAULT}
ROWS = [
    (name, *way, every)
    for name in sorted(optimizers())
    for way in WAYS
    for every in (1, 3)
]
TABLE = [
    pytest.param(*row, marks=() if row in BRIEF else pytest.mark.slow) for row in ROWS
]


@pytest.mark.parametrize(("name", "dtype", "eagerly", "steps", "every"), TABLE)
def test_an_optimizer_ends_at_the_same_bits(name, dtype, eagerly, steps, every):
    def train(*monitors):
        options = {"run_eagerly": eagerly, "steps_per_execution": steps}
        return trained(optimizers()[name], dtype, monitors, **options)

    monitor = kik.SignalMonitor(None, every=every, rules=None)
    assert train(monitor) == train()
    assert not monitor.guard.failed
    updates = monitor.record.signal("update").steps.tolist()
    due = list(range(0, BATCHES * EPOCHS, every))
    if dtype == "float32":
        assert updates == due
    else:  # the first steps overflow and are skipped
        assert updates
        assert set(updates) < set(due)


def test_the_table_has_every_optimizer():
    names = {"SGD", "Adam", "AdamW", "Lion", "Adafactor", "LossScaleOptimizer"}
    assert names <= optimizers().keys()
    assert "Optimizer" not in optimizers()
