"""The code that findings print as a remedy is run: what it names must exist and work.

Every piece between backticks in a text of the diagnosis that is a call, an assignment
or an argument counts.
"""

import ast
import pathlib
import re

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_initkit as kik

k = keras.layers
ROOT = pathlib.Path(kik.__file__).parent
# What stands in braces in a text, and a name that text leaves to the reader.
FILLED = {
    'loss="{name}"': 'loss="mse"',
    "{right}": "softmax",
    "{name}": "kernel",
    "{_LOGITS[name]}": "BinaryCrossentropy",
    "{_usual(name)}": "1e-3",
    "{rate}": "1e-3",
    "{int(high) + 1}": "3",
    "{4 * epochs}": "1",
    "{short(trial['proposal'])}": "1e-3",
}
# Arguments of what each is an argument of.
OWNERS = {
    "activation": "keras.layers.Dense(4, {})",
    "kernel_initializer": "keras.layers.Dense(4, {})",
    "kernel_regularizer": "keras.layers.Dense(4, {})",
    "bias_initializer": "keras.layers.Dense(4, {})",
    "recurrent_initializer": "keras.layers.GRU(4, {})",
    "unit_forget_bias": "keras.layers.LSTM(4, {})",
    "loss": "model.compile({})",
    "from_logits": "keras.losses.BinaryCrossentropy({})",
    "training": "keras.layers.BatchNormalization()(x, {})",
}


def texts(path):
    """Yields the strings of a module that are no docstrings, braces as they stand."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    inside = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr):
            inside.add(id(node.value))
        if isinstance(node, ast.JoinedStr):
            inside |= {id(part) for part in node.values}
    for node in ast.walk(tree):
        if id(node) in inside and not isinstance(node, ast.JoinedStr):
            continue
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value
        if isinstance(node, ast.JoinedStr):
            yield "".join(
                str(part.value)
                if isinstance(part, ast.Constant)
                else "{" + ast.unparse(part.value) + "}"
                for part in node.values
            )


def as_code(snippet):
    """Returns what can be run of a piece of text, `None` if it is a mere name."""
    for name, value in FILLED.items():
        snippet = snippet.replace(name, value)
    argument = re.match(r"^(\w+)=", snippet)
    if argument:
        return OWNERS.get(argument[1], "unknown({})").format(snippet)
    try:
        tree = ast.parse(snippet)
    except SyntaxError:
        return None
    does = (ast.Call, ast.Assign)
    return snippet if any(isinstance(one, does) for one in ast.walk(tree)) else None


def snippets():
    found = {}
    for path in sorted([*ROOT.joinpath("diagnosis").rglob("*.py")]):
        for text in texts(path):
            for snippet in re.findall(r"`([^`\n]+)`", text):
                code = as_code(snippet)
                if code is not None and "..." not in code:
                    found.setdefault(code, path.name)
    return found


SNIPPETS = snippets()


@pytest.fixture
def namespace():
    inputs = keras.Input((6,))
    x = k.Dense(6, "relu", name="first")(inputs)
    model = keras.Model(inputs, k.Dense(1, "sigmoid", name="last")(x))
    model.compile("adam", "binary_crossentropy")
    rng = np.random.default_rng(0)
    return {
        "keras": keras,
        "kik": kik,
        "diagnosis": kik.diagnosis,
        "record": kik.RunRecord(),
        "np": np,
        "rng": rng,
        "Dense": k.Dense,
        "model": model,
        "layer": model.get_layer("first"),
        "block": k.Dense(6),
        "initializer": "he_normal",
        "optimizer": keras.optimizers.Adam(),
        "x": rng.normal(size=(64, 6)).astype("float32"),
        "y": rng.integers(0, 2, 64),
        "x_validation": rng.normal(size=(64, 6)).astype("float32"),
        "value": np.zeros((6, 4), "float32"),
        "mean": 0.0,
        "std": 1.0,
        "classes": 3,
        "units": 64,
        "time_steps": 400,
        "epochs": 1,
        "steps_per_epoch": 10,
        "dataset": tf.data.Dataset.range(4),
    }


@pytest.fixture(autouse=True)
def _policy():
    before = keras.mixed_precision.dtype_policy()
    yield
    keras.mixed_precision.set_dtype_policy(before)


@pytest.mark.parametrize("code", SNIPPETS)
def test_remedy_runs(code, namespace):
    code = code.replace("epochs=200", "epochs=1")
    *before, last = ast.parse(code).body
    exec(compile(ast.Module(before, []), code, "exec"), namespace)
    if not isinstance(last, ast.Expr):
        exec(compile(ast.Module([last], []), code, "exec"), namespace)
        return
    made = eval(compile(ast.Expression(last.value), code, "eval"), namespace)
    if isinstance(made, k.RNN):
        made.build((None, 5, 6))
        _check_gates(made)
    elif isinstance(made, k.Layer) and not isinstance(made, k.Normalization):
        made.build((None, 6))
    elif isinstance(made, keras.Initializer):
        made((6, 4))


def _check_gates(layer):
    """Asserts that the forget gates of an LSTM start open, and nothing else does."""
    if isinstance(layer, k.LSTM):
        inputs, forget, cell, output = np.split(layer.cell.bias.numpy(), 4)
        assert np.all(forget > 0)
        assert np.all(inputs <= 0)
        assert not np.any(cell)
        assert not np.any(output)


def test_remedies_are_found():
    assert any("ChronoBias(time_steps)" in code for code in SNIPPETS)
    assert any("for_layer(" in code for code in SNIPPETS)
    assert len(SNIPPETS) > 40
