"""Facts about a training that no tap sees: loss, optimizer, outputs, the first batch.

They are JSON-able, so that a record tells them after the model is gone. What is not
known is left out: nothing here is a guess.
"""

import logging
import math

import keras
import numpy as np

from keras_initkit.structure import keras_private
from keras_initkit.structure.graph import places_of
from keras_initkit.structure.layers import activation_name, describe, named_layers

logger = logging.getLogger(__name__)

# Classes are counted up to as many; labels beyond are numbers.
MAX_CLASSES = 10_000
# A longer array is told by so many evenly spaced entries.
READ_ENTRIES = 2**22


def gather(model, batch, params=None, first_step=0):
    """Returns the facts `of_training` and `of_batch`, those that can be had.

    Args:
        model: A compiled, built Keras model, before the step on this batch.
        batch: The data of a train step.
        params: `Callback.params` of the `fit`.
        first_step: Optimizer iteration at which this `fit` began.
    """
    facts = {}
    for read in (
        lambda: of_training(model, params, first_step),
        lambda: of_batch(batch, getattr(model, "output_names", ())),
    ):
        try:
            facts.update(read())
        except Exception:  # whatever a user's loss, optimizer or data come up with
            logger.debug("Some facts about the training are unknown", exc_info=True)
    return facts


def of_layers(model):
    """Describes the layers of a model, JSON-able, in the order the model holds them.

    Returns:
        What `layers.describe` does, each with the key `place` where a graph tells it: a
        dict of what is in `graph.Place`.
    """
    known = places_of(model)
    places = {name: known.get(id(layer)) for name, layer in named_layers(model)}
    return [
        entry if place is None else {**entry, "place": place._asdict()}
        for entry in describe(model)
        for place in [places.get(entry["path"])]
    ]


def of_training(model, params=None, first_step=0):
    """Describes how a model is trained.

    Args:
        model: A compiled, built Keras model.
        params: `Callback.params` of the `fit`.
        first_step: Optimizer iteration at which this `fit` began.

    Returns:
        A dict with those of these keys that can be told: `"loss"` (see `loss_of`),
        `"losses"` (see `losses_of`), `"optimizer"` (see `optimizer_of`), `"outputs"`
        (see `outputs_of`), `"penalty"` (sum of the weights' regularization losses now),
        `"dropout"` (`[path, rate]` of each dropout layer) and `"fit"` (`first_step`,
        `steps_per_epoch` and `epochs`, those that are to come).
    """
    readers = {
        "loss": lambda: loss_of(model),
        "losses": lambda: losses_of(model),
        "optimizer": lambda: optimizer_of(model),
        "outputs": lambda: outputs_of(model),
        "penalty": lambda: _penalty(model),
        "dropout": lambda: [
            [path, float(layer.rate)]
            for path, layer in named_layers(model)
            if isinstance(layer, keras.layers.Dropout)
        ],
        "fit": lambda: {
            "first_step": int(first_step),
            "steps_per_epoch": (params or {}).get("steps"),
            "epochs": (params or {}).get("epochs"),
        },
    }
    facts = {name: _read(name, reader) for name, reader in readers.items()}
    return {name: fact for name, fact in facts.items() if fact is not None}


def _read(name, reader):
    """Returns one fact; `None` where a user's loss, optimizer or layer raises."""
    try:
        return reader()
    except Exception:
        logger.debug("%r of the training is unknown", name, exc_info=True)
        return None


def loss_of(model):
    """Describes the one loss of a compiled model.

    Returns:
        A dict with `name` (`"sparse_categorical_crossentropy"`), `from_logits` (`None`
        where the loss has no such argument), `reduction` and `weighted` (whether
        `compile` was given weights); `None` where there is no loss, several, or one
        that is no loss of Keras.
    """
    loss, weights = keras_private.compiled_loss(model)
    described = describe_loss(_the_one(loss))
    if described is None:
        return None
    return described | {"weighted": weights is not None}


def losses_of(model):
    """Describes the losses of a compiled model, one an output.

    Returns:
        A list in the order of `outputs_of`, of dicts as of `describe_loss`, `None` for
        an output without a loss or with one that is no loss of Keras; `None` where it
        is not known which output has which.
    """
    loss, _ = keras_private.compiled_loss(model)
    outputs = keras.tree.flatten(getattr(model, "outputs", None) or [])
    if isinstance(loss, dict):
        names = getattr(model, "output_names", ())
        if len(names) != len(outputs) or not set(loss) <= set(names):
            return None
        loss = [loss.get(name) for name in names]
    elif not isinstance(loss, (list, tuple)):
        loss = [loss] * len(outputs)
    if not outputs or len(loss) != len(outputs):
        return None
    return [describe_loss(one) for one in loss]


def describe_loss(loss):
    """Describes a loss as it is given to `compile`.

    Returns:
        A dict with `name`, `from_logits` and `reduction`, as in `loss_of`; `None` for
        what is no loss of Keras.
    """
    if isinstance(loss, str):
        try:
            loss = keras.losses.get(loss)
        except ValueError:
            return None
    if loss is None or not _is_of_keras(loss):
        return None
    is_object = isinstance(loss, keras.losses.Loss)
    config = loss.get_config() if is_object else {}
    name = _snake(type(loss).__name__) if is_object else loss.__name__
    may_be_logits = name.endswith("crossentropy")
    return {
        "name": name,
        "from_logits": config.get("from_logits", False) if may_be_logits else None,
        "reduction": config.get("reduction", "sum_over_batch_size"),
    }


def optimizer_of(model):
    """Describes the optimizer of a model.

    Returns:
        A dict with `name`, `learning_rate` (a schedule's is that of the present
        iteration; `None` where there is no single one), `scheduled`, `weight_decay`,
        `gradient_accumulation_steps` and `loss_scale` (1 for none); `None` without an
        optimizer.
    """
    optimizer = getattr(model, "optimizer", None)
    if optimizer is None:
        return None
    scale = getattr(optimizer, "dynamic_scale", None)
    if scale is None:  # not built yet, or a factor that stays
        factor = getattr(optimizer, "loss_scale_factor", None)
        scale = getattr(optimizer, "initial_scale", factor) or 1.0
    inner = getattr(optimizer, "inner_optimizer", optimizer)
    return {
        "name": _snake(type(inner).__name__),
        "learning_rate": _rate_of(inner),
        "scheduled": isinstance(
            keras_private.learning_rate_given(inner),
            keras.optimizers.schedules.LearningRateSchedule,
        ),
        "weight_decay": getattr(inner, "weight_decay", None) or None,
        "gradient_accumulation_steps": getattr(
            inner, "gradient_accumulation_steps", None
        ),
        "loss_scale": float(np.asarray(scale)),
    }


def _rate_of(optimizer):
    """Returns the present learning rate; `None` where there is no single one."""
    try:
        return float(np.asarray(optimizer.learning_rate))
    except Exception:  # several optimizers in one raise what they like
        return None


def outputs_of(model):
    """Describes the layers that make a model's outputs.

    Returns:
        A list of dicts with `layer` (path), `activation` and `units`, one an output;
        `None` where the model does not tell (a subclassed one).
    """
    outputs = getattr(model, "outputs", None)
    if not outputs:
        return None
    paths = {id(layer): path for path, layer in named_layers(model)}
    found = []
    for tensor in outputs:
        layer = output_layer(tensor)
        if id(layer) not in paths:
            return None
        found.append(
            {
                "layer": paths[id(layer)],
                "activation": activation_name(layer),
                "units": tensor.shape[-1] if len(tensor.shape) > 1 else 1,
            }
        )
    return found


def output_layer(tensor):
    """Returns the layer that computed a symbolic tensor, the innermost one."""
    operation, number = keras_private.maker_of(tensor)
    graph = keras_private.functional_graph(operation)
    return operation if graph is None else output_layer(graph.outputs[number])


def of_batch(data, names=()):
    """Describes the data of a train step.

    Args:
        data: A batch as `train_step` gets it: `x`, `(x, y)` or `(x, y, weights)`.
            Of a batch that is spread over replicas, the first part is read.
        names: Names of the model's outputs, by which a dict of targets is sorted.

    Returns:
        A dict with `"input"`, a list of `moments`, one a tensor; `"targets"`, a list
        of moments with `silent` (share of the columns that are 0 throughout),
        `entropy` (in nats, of the classes or labels) and `most_frequent` (share of
        the largest class; both left out for numbers), in the order of the outputs;
        `"target"`, the one of these where there is one; `"weighted"`, whether there
        are sample weights.
    """
    x, y, weights = keras.utils.unpack_x_y_sample_weight(data)
    if isinstance(y, dict) and set(y) == set(names):
        y = [y[name] for name in names]
    facts = {
        "input": [one for one in of_inputs(x) if not isinstance(one, str)],
        "weighted": weights is not None,
    }
    targets = [_numbers(one) for one in _flat(y)]
    if targets and all(array.size for array in targets):
        facts["targets"] = [_of_targets(array) for array in targets]
    if sum(array.size > 0 for array in targets) == 1:
        facts["target"] = _of_targets(next(array for array in targets if array.size))
    return facts


def _of_targets(array):
    entropy = label_entropy(array)
    known = {} if entropy is None else {"entropy": entropy}
    share = most_frequent(array)
    if share is not None:
        known["most_frequent"] = share
    columns = array.reshape(-1, array.shape[-1] if array.ndim > 1 else 1)
    silent = float((columns == 0).all(axis=0).mean())
    return moments(array) | known | {"silent": silent}


def of_inputs(x):
    """Reads the moments of each tensor of a batch's inputs.

    Args:
        x: Tensor, array, or nested structure of such. Of what is spread over replicas,
            the first part is read.

    Returns:
        A list in the order of `keras.tree.flatten`: `moments`, or as a string why there
        are none (`"is sparse"`).
    """
    arrays = [(one, _numbers(one)) for one in _flat(x)]
    return [moments(array) if array.size else _why(one) for one, array in arrays]


def _why(tensor):
    """Says why a tensor has no moments."""
    kind = type(tensor).__name__
    for word in ("Sparse", "Ragged"):
        if word in kind:
            return f"is {word.lower()}"
    shape = getattr(tensor, "shape", None)
    return "is empty" if shape is not None and 0 in shape else "holds no numbers"


def moments(array):
    """Returns shape, dtype, mean, std, rms, min, max and count of NaN and Inf.

    The moments are of the finite entries (`None` if there are none); `integral` says
    whether these are whole numbers, `alike` whether all examples are the same, of
    which there are several.
    """
    flat = array.reshape(-1)
    flat = flat[:: _stride(array)].astype(np.float64)
    finite = flat[np.isfinite(flat)]
    facts = dict.fromkeys(("mean", "std", "rms", "min", "max"))
    if finite.size:
        facts = {
            "mean": float(finite.mean()),
            "std": float(finite.std()),
            "rms": float(np.sqrt(np.mean(finite**2))),
            "min": float(finite.min()),
            "max": float(finite.max()),
        }
    return {
        "shape": list(array.shape),
        "dtype": str(array.dtype),
        **facts,
        "nonfinite": int(flat.size - finite.size),
        "integral": bool((finite == np.round(finite)).all()),
        "alike": array.ndim > 0 and len(array) > 1 and bool((array == array[0]).all()),
    }


def _stride(array):
    """Returns how far apart the entries are that are read: at all places in turn."""
    stride = max(1, array.size // READ_ENTRIES)
    while stride > 1 and math.gcd(stride, array.size // len(array)) > 1:
        stride += 1
    return stride


def label_entropy(y):
    """Computes the entropy of labels, in nats: the loss of the best constant guess.

    Class numbers and rows of one 1 give the entropy of the class frequencies;
    other rows of zeros and ones the mean binary entropy of the columns.

    Args:
        y: Array of shape `(batch,)` or `(batch, ..., labels)`.

    Returns:
        A float, `None` if these are no labels. Labels of a batch of n examples
        underestimate the entropy of k classes by about (k - 1) / 2n.
    """
    if not np.isfinite(y).all() or (y != np.round(y)).any() or y.min() < 0:
        return None
    columns = y.shape[-1] if y.ndim > 1 else 1
    if columns == 1:
        if y.max() >= MAX_CLASSES:
            return None
        return _entropy(np.bincount(y.reshape(-1).astype(np.int64)))
    if y.max() > 1:
        return None
    rows = y.reshape(-1, columns)
    if (rows.sum(axis=1) == 1).all():
        return _entropy(rows.sum(axis=0))
    ones = rows.sum(axis=0)
    return float(np.mean([_entropy(np.array([n, len(rows) - n])) for n in ones]))


def most_frequent(y):
    """Computes the share of the most frequent class among labels.

    Args:
        y: Class numbers of shape `(batch,)` or `(..., 1)`, or rows of one 1.

    Returns:
        A float in (0, 1], `None` if these are no labels of one class each.
    """
    columns = y.shape[-1] if y.ndim > 1 else 1
    if label_entropy(y) is None:
        return None
    if columns == 1:
        counts = np.bincount(y.reshape(-1).astype(np.int64))
        return float(counts.max() / counts.sum())
    rows = y.reshape(-1, columns)
    one_each = (rows.sum(axis=1) == 1).all()
    return float(rows.sum(axis=0).max() / len(rows)) if one_each else None


def _entropy(counts):
    shares = counts[counts > 0] / counts.sum()
    return float(-np.sum(shares * np.log(shares))) + 0.0


def _flat(data):
    return [] if data is None else keras.tree.flatten(data)


def _numbers(tensor):
    """The values of a tensor; an empty array for what holds none (text, sparse)."""
    replicas = getattr(tensor, "values", None)
    if isinstance(replicas, tuple):  # of a batch that is spread over replicas
        tensor = replicas[0]
    try:
        array = np.asarray(tensor)
    except (TypeError, ValueError, NotImplementedError):
        return np.zeros(0)
    if array.dtype.kind not in "biuf":
        # bfloat16 and its kin have a kind of their own.
        if array.dtype.kind != "V" or array.dtype.itemsize > 2:
            return np.zeros(0)
        array = array.astype(np.float32)
    return array


def _penalty(model):
    regularized = [
        variable
        for variable in model.trainable_variables
        if getattr(variable, "regularizer", None) is not None
    ]
    return float(sum(float(v.regularizer(v)) for v in regularized))


def _the_one(loss):
    if isinstance(loss, dict):
        loss = list(loss.values())
    if isinstance(loss, (list, tuple)):
        return loss[0] if len(loss) == 1 else None
    return loss


def _is_of_keras(loss):
    owner = type(loss) if isinstance(loss, keras.losses.Loss) else loss
    module = getattr(owner, "__module__", None) or ""
    return module.partition(".")[0] == "keras" and hasattr(owner, "__name__")


def _snake(name):
    """`"SparseCategoricalCrossentropy"` as `"sparse_categorical_crossentropy"`."""
    if name.isupper():
        return name.lower()
    return "".join(f"_{c.lower()}" if c.isupper() else c for c in name).strip("_")
