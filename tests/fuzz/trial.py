"""One model trained bare and watched, and what differs."""

import dataclasses
import logging
import warnings

import keras
import numpy as np

import keras_initkit as kik
from tests.fuzz import models

# Where a watched training differs, so often a bare one is repeated: some add up in the
# order in which threads are done.
BARE_AGAIN = 4


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What came of a recipe: `fault` is empty where all is well."""

    fault: str
    detail: str = ""


def run(recipe):
    """Trains the model of a recipe twice and compares."""
    try:
        bare = _trained(recipe)
    except Exception as error:  # no model of Keras's: nothing to compare
        return Outcome("", f"no bare run: {type(error).__name__} {error}"[:150])
    both = {"norms": 1, "full": 2}
    how = {"detail": both} if recipe.detail == "both" else {"every": 1}
    if recipe.detail == "norms":
        how["detail"] = "norms"
    monitor = kik.SignalMonitor(
        None,
        **how,
        signals=recipe.signals,
        histograms=recipe.histograms,
        rules=None,
        evaluate=recipe.evaluates,
    )
    try:
        watched = _trained(recipe, monitor)
    except Exception as error:
        return Outcome("crash", f"{type(error).__name__}: {error}"[:300])
    differing = _differing(bare, watched)
    if differing:
        if any(_differing(bare, _trained(recipe)) for _ in range(BARE_AGAIN)):
            return Outcome("", "not comparable: bare trainings differ, too")
        detail = f"{len(differing)} of {len(bare)}, first {differing[0]}"
        return Outcome("differs", detail)
    short = _missing(monitor, recipe)
    return Outcome("incomplete", short) if short else Outcome("")


def _differing(one_training, other_training):
    """Lists what two trainings end differently in, and by how much."""
    return [
        f"{name} (by {_apart(one, other)})"
        for (name, one), (_, other) in zip(one_training, other_training, strict=True)
        if not _same(one, other)
    ]


def _trained(recipe, *callbacks):
    keras.backend.clear_session(free_memory=False)  # layers are named alike
    model = models.build(recipe)
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            history = model.fit(
                **models.feed(recipe), epochs=2, verbose=0, callbacks=list(callbacks)
            )
    finally:
        logging.disable(logging.NOTSET)
    variables = [*model.variables, *model.optimizer.variables]
    return [
        *((name, np.asarray(values)) for name, values in history.history.items()),
        *((one.path, keras.ops.convert_to_numpy(one)) for one in variables),
    ]


def _same(one, other):
    if one.shape != other.shape or one.dtype != other.dtype:
        return False
    if one.tobytes() == other.tobytes():
        return True
    if not np.issubdtype(one.dtype, np.floating) and one.dtype.name != "bfloat16":
        return False
    # Which NaN it is says nothing.
    nan = np.isnan(one)
    if not np.array_equal(nan, np.isnan(other)):
        return False
    return np.where(nan, 0, one).tobytes() == np.where(nan, 0, other).tobytes()


def _apart(one, other):
    with np.errstate(all="ignore"):
        apart = np.abs(one.astype("float64") - other.astype("float64"))
        return f"{np.max(apart, initial=0):.3g}"


def _missing(monitor, recipe):
    """Tells how much of what was asked for is neither recorded nor said unseen."""
    told, _ = monitor._fit.expected  # what its record is laid out for
    if recipe.evaluates:
        series = monitor.record.signal("inference")
        if series is None or len(series) < (
            1 if recipe.policy == "mixed_float16" else 2
        ):
            return "an evaluation is missing"
    owned = {layer for layer, _ in monitor.record.metadata.get("untapped", ())}
    wanted = seen = 0
    for signal, keys in told.items():
        series = _of_each_step(monitor.record, signal)
        have = set() if series is None else set(series.tensors)
        keys = [key for key in keys if key.layer not in owned]
        if recipe.frozen and signal in ("gradient", "weight", "update"):
            keys = [key for key in keys if key in have]
        wanted += len(keys)
        seen += sum(key in have for key in keys)
        skips = recipe.policy == "mixed_float16"  # steps that overflow are no steps
        if series is not None and len(series.steps) < 6 and not skips:
            return f"{signal}: {len(series.steps)} of 6 steps"
    if recipe.policy == "mixed_float16" and not seen:
        return ""  # each step was skipped
    return f"{seen} of {wanted} tensors" if seen < 0.95 * wanted else ""


def _of_each_step(record, signal):
    """Returns the series of a signal that has the most steps, `None` for none."""
    stored = record.norms or record.series
    found = [one for one in stored.values() if one.signal == signal]
    return found[-1] if found else None


def shrunk(recipe):
    """Drops signals, blocks and settings as long as the fault remains."""
    fault = run(recipe).fault
    again = True
    while again:
        again = False
        for smaller in _smaller(recipe):
            if run(smaller).fault == fault:
                recipe, again = smaller, True
                break
    return recipe


def _smaller(recipe):
    def change(**kwargs):
        return dataclasses.replace(recipe, **kwargs)

    for i in range(len(recipe.signals) if len(recipe.signals) > 1 else 0):
        yield change(signals=recipe.signals[:i] + recipe.signals[i + 1 :])
    for i in range(len(recipe.blocks) if len(recipe.blocks) > 1 else 0):
        yield change(blocks=recipe.blocks[:i] + recipe.blocks[i + 1 :])
    plain = {
        "optimizer": ("SGD", ()),
        "policy": "float32",
        "data": "finite",
        "frozen": 0,
        "execution": 1,
        "loss": "mse",
        "fed": "arrays",
        "evaluates": False,
        "detail": "full",
    }
    for name, value in plain.items():
        if getattr(recipe, name) != value:
            yield change(**{name: value})
