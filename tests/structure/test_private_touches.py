"""What Keras and TensorFlow keep to themselves is touched in two files only."""

import ast
import pathlib

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_initkit.structure import keras_private, tensorflow_private
from tests.structure.contracts import Subclassed, functional, sequential

k = keras.layers
PRIVATE = [pathlib.Path(one.__file__) for one in (keras_private, tensorflow_private)]
PACKAGE = PRIVATE[0].parent.parent
SOURCES = sorted(set(PACKAGE.rglob("*.py")) - set(PRIVATE))
# Named tuples publish these with an underscore.
NAMED_TUPLES = {"_replace", "_asdict", "_fields", "_make"}
# Attributes of our own classes, read off another object, that Keras has, too.
# The second is Python's.
OURS = {("capture/session.py", "_model"), ("experiments/jobs.py", "_exit")}


def is_private(name):
    return name.startswith("_") and not name.endswith("__")


@pytest.fixture(scope="module")
def private_names():
    """The private attributes of what Keras and TensorFlow hand out."""
    model = functional()
    model.compile("sgd", loss="mse", metrics=["mae"])
    model.fit(np.ones((2, 3)), np.ones((2, 3)), verbose=0)
    node = keras_private.nodes_in_order(model)[0]
    function = tf.function(lambda x: x + 1)
    concrete = function.get_concrete_function(tf.TensorSpec([], tf.float32))
    strategy = tf.distribute.get_strategy()
    things = [
        model,
        sequential(),
        Subclassed(),
        node,
        node.operation,
        keras_private.maker_of(keras.ops.relu(model.inputs[0]))[0],
        model.get_layer("first"),
        k.BatchNormalization(),
        k.MultiHeadAttention(1, 1),
        k.GroupQueryAttention(1, 1, 1),
        k.LSTM(1),
        model.inputs[0],
        model.trainable_variables[0],
        model.optimizer,
        keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD()),
        keras.losses.MeanSquaredError(),
        *model.metrics,
        model._compile_loss,
        model._compile_metrics,
        model.history,
        model.train_function,
        function,
        concrete,
        concrete.outputs[0],
        concrete.graph,
        tf.constant(1.0),
        strategy,
        strategy.extended,
        tf.distribute.MultiWorkerMirroredStrategy().extended,
        tf.Variable(1.0),
    ]
    found = {name for thing in things for name in dir(thing) if is_private(name)}
    # They are written only where there is something to write.
    return found | {"_keras_logits", "_keras_mask", "_keras_history"}


def own_names(tree):
    """The private names that the classes of a file define or keep on `self`."""
    own = set(NAMED_TUPLES)
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and is_of_self(node):
            own.add(node.attr)
        elif isinstance(node, ast.ClassDef):
            own.update(f.name for f in node.body if isinstance(f, ast.FunctionDef))
    return own


def is_of_self(node):
    return isinstance(node.value, ast.Name) and node.value.id in ("self", "cls")


def touches(tree, private_names):
    """Yields `(line, what)` for each touch of what others keep to themselves."""
    own = own_names(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            hidden = is_private(node.attr) and not is_of_self(node)
            if hidden and (node.attr in private_names or node.attr not in own):
                yield node.lineno, node.attr
            elif node.attr == "__internal__":
                yield node.lineno, node.attr
        elif isinstance(node, ast.Constant) and node.value in private_names:
            yield node.lineno, node.value
        elif isinstance(node, ast.Call):
            made = [one for one in node.args if isinstance(one, ast.JoinedStr)]
            if made and is_lookup(node.func):
                for text in made:
                    start = getattr(text.values[0], "value", "")
                    if isinstance(start, str) and start.startswith("_"):
                        yield node.lineno, ast.unparse(text)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            module = getattr(node, "module", None) or ""
            for name in [module, *(alias.name for alias in node.names)]:
                if name.startswith(("keras.src", "tensorflow.python")):
                    yield node.lineno, name


def is_lookup(function):
    """Whether it is `getattr` and its kin, or `.get` of a `__dict__`."""
    name = getattr(function, "id", getattr(function, "attr", ""))
    return name in ("getattr", "hasattr", "setattr", "delattr", "get", "pop")


def test_nothing_else_touches_what_is_private(private_names):
    assert {"_flatten_layers", "_clone", "_in_multi_worker_mode"} <= private_names
    found = [
        f"{path.relative_to(PACKAGE)}:{line}: {what}"
        for path in SOURCES
        for line, what in touches(ast.parse(path.read_text()), private_names)
        if (path.relative_to(PACKAGE).as_posix(), what) not in OURS
    ]
    assert not found, f"belongs in {[path.name for path in PRIVATE]}: {found}"


@pytest.mark.parametrize(
    "line",
    [
        "model._flatten_layers()",
        'getattr(model, "_functional", None)',
        'layer.__dict__.get("_kernel")',
        'getattr(layer, f"_{part}_dense")',
        "self.model._layers",
        "keras_thing._brand_new",
        "tf.__internal__.autograph",
        "from keras.src import backend",
        "import tensorflow.python.eager",
    ],
)
def test_touches_are_found(line, private_names):
    assert list(touches(ast.parse(line), private_names))
