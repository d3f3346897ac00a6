"""All that this package takes from Keras which it keeps to itself.

A private attribute may change with any release. Each is touched here and nowhere else,
by a function that says what it gives and why no public way gives it; one contract test
(`tests/structure/test_keras_private.py`) tells, under each version, which has changed.
What TensorFlow keeps to itself is in `tensorflow_private.py`.
"""

import contextlib
import functools
import inspect
from collections.abc import Iterator, Mapping
from typing import Any

import keras
from keras.src.backend.common import global_state

# The function in which Keras's trainer runs one step on a batch.
_ONE_STEP = "one_step_on_data"

# Layers and their variables.


def layers_below(layer: Any, include_self: bool = False) -> list[Any]:
    """Lists all layers inside one, depth first (`_flatten_layers`).

    `Model.layers` is public, but knows neither the layers of layers nor those of a
    layer that is no model.
    """
    return layer._flatten_layers(include_self=include_self)


def sublayers(layer: Any) -> list[Any]:
    """Lists the layers that a layer holds itself (`_layers`; public of models only)."""
    return layer._layers


def own_trainable(layer: Any) -> list[Any]:
    """Lists a layer's own trainable variables, frozen or not (`_trainable_variables`).

    The public list adds those of the layers inside it, and is empty when it is frozen.
    """
    return layer._trainable_variables


def own_variables(layer: Any) -> list[Any]:
    """Lists a layer's own variables, not those of layers inside it.

    `_trainable_variables` and `_non_trainable_variables`; the public lists add those of
    the layers inside it.
    """
    return layer._trainable_variables + layer._non_trainable_variables


def scale_beside(layer: Any, scale: Any) -> Any:
    """Returns the scale of a quantized kernel in a shape that divides it.

    `_adjust_scale_for_dequant` of `EinsumDense`, in whose place Keras 3.10 has the axes
    to move (`_kernel_reverse_transpose_axes` and two more); no public way.
    """
    adjust = getattr(layer, "_adjust_scale_for_dequant", None)
    if adjust is not None:
        return adjust(scale)
    back = getattr(layer, "_kernel_reverse_transpose_axes", None)
    if back is None:
        return scale
    if layer._kernel_squeeze_axes:
        scale = keras.ops.expand_dims(scale, axis=layer._kernel_squeeze_axes)
    if layer._kernel_expand_axes:
        scale = keras.ops.squeeze(scale, axis=layer._kernel_expand_axes)
    return keras.ops.transpose(scale, back)


def attention_projection(layer: Any, part: str) -> Any:
    """Returns the dense layer of an attention layer's projection, `None` without one.

    `_query_dense` and the like; grouped attention has no public name for them.
    """
    return getattr(layer, f"_{part}_dense", getattr(layer, f"{part}_dense", None))


def layer_in_making() -> Any:
    """Returns the layer that is making a weight right now, `None` if there is none.

    The caller of the innermost name scope (`name_scope_stack`): what initializers are
    called with does not tell for whom. Where Keras puts drawing off, as in a symbolic
    build, the scope is gone by then.
    """
    scopes = global_state.get_global_attribute("name_scope_stack")
    caller = scopes[-1].caller if scopes else None
    return caller if isinstance(caller, keras.Layer) else None


@contextlib.contextmanager
def name_scopes_kept() -> Iterator[None]:
    """Takes off the name scopes that what fails meanwhile leaves behind.

    `name_scope_stack` of `keras.src.backend.common.global_state`; no public way: a
    name that TensorFlow refuses stays on it, ahead of the names of all layers to come.
    """
    scopes = global_state.get_global_attribute("name_scope_stack", default=[])
    before = len(scopes)
    try:
        yield
    finally:
        scopes = global_state.get_global_attribute("name_scope_stack", default=[])
        del scopes[before:]


def takes_training(model: Any) -> bool:
    """Whether a model's `call` takes `training` (`_call_has_training_arg`).

    No public attribute tells; the signature does not where Keras generates `call`.
    """
    return getattr(model, "_call_has_training_arg", True)


def is_rematerialized(layer: Any) -> bool:
    """Whether a layer was made in a `RematScope` (`_remat_mode`; no public way)."""
    return layer._remat_mode is not None


def added_losses(model: Any) -> list[tuple[Any, list[Any]]]:
    """Returns each layer with the losses that its calls have added (`_losses`).

    The public `losses` adds those of weights, and does not tell whose they are.
    """
    layers = model._flatten_layers(include_self=True)
    return [(layer, list(layer._losses)) for layer in layers]


def set_added_losses(model: Any, losses: list[tuple[Any, list[Any]]]) -> None:
    """Has layers hold the losses that `added_losses` told, and no others.

    `_losses` and `_clear_losses`; no public way.
    """
    model._clear_losses()
    for layer, held in losses:
        # Beside the attribute's tracker, as Keras itself adds them.
        list.__setitem__(layer._losses, slice(None), held)


def is_stateful(held: Any) -> bool:
    """Whether an object of Keras may hold variables: it says so of no other kind.

    Layers, metrics, optimizers and seed generators; a metric container that `compile`
    makes has no public class, but `variables`.
    """
    kinds = (
        keras.Layer,
        keras.metrics.Metric,
        keras.optimizers.Optimizer,
        keras.random.SeedGenerator,
    )
    return isinstance(held, kinds)


@functools.cache
def own_attributes() -> frozenset[str]:
    """Returns the names of the attributes that Keras gives each layer and model."""
    layer, model = keras.layers.Layer(name="any"), keras.Sequential(name="any")
    return frozenset({*vars(layer), *vars(model), "stop_training", "train_function"})


# The graph of layers.


def functional_graph(model: Any) -> Any:
    """Returns the Functional graph of a model, `None` for a layer or without one.

    A Sequential model's is in `_functional`; a Functional model, a class that Keras
    does not publish, is known by `_nodes_by_depth`.
    """
    if isinstance(model, keras.Sequential):
        return getattr(model, "_functional", None)
    return model if hasattr(model, "_nodes_by_depth") else None


def nodes_in_order(graph: Any) -> list[Any]:
    """Lists the nodes of a Functional graph, inputs first (`_nodes_by_depth`).

    `graph.operations` is public, but tells of no operation how often and on what it is
    called.
    """
    by_depth = graph._nodes_by_depth
    return [
        node for depth in sorted(by_depth, reverse=True) for node in by_depth[depth]
    ]


def arguments_of(node: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Returns what a node's operation is called with, `(args, kwargs)` (`arguments`).

    Tensors of the graph and constants; `node.input_tensors` tells the tensors alone.
    """
    arguments = getattr(node, "arguments", None)
    return ((), {}) if arguments is None else (arguments.args, arguments.kwargs)


def maker_of(tensor: Any) -> tuple[Any, int]:
    """Returns the operation that made a symbolic tensor, and which output it is.

    `_keras_history`; no public way.
    """
    history = tensor._keras_history
    return history.operation, history.tensor_index


def is_activation_operation(operation: Any) -> bool:
    """Whether an operation is a function of `keras.ops.nn`, by its hidden module.

    The classes of operations are not published.
    """
    return type(operation).__module__.endswith("ops.nn")


# What Keras writes on tensors.


def logits_of(tensor: Any) -> Any:
    """Returns what a softmax or sigmoid was taken of, `None` if Keras did not say.

    `_keras_logits`; no public way.
    """
    return getattr(tensor, "_keras_logits", None)


def set_logits(tensor: Any, logits: Any) -> None:
    """Tells losses the logits of a tensor (`_keras_logits`; no public way)."""
    tensor._keras_logits = logits


def copy_marks(tensor: Any, copy: Any) -> None:
    """Puts on a copy what Keras wrote on a tensor, its mask and its logits.

    `_keras_mask` and `_keras_logits`; no public way.
    """
    for attribute in ("_keras_mask", "_keras_logits"):
        if hasattr(tensor, attribute):
            setattr(copy, attribute, getattr(tensor, attribute))


# What `compile` was given, and training.


def compiled_loss(model: Any) -> tuple[Any, Any]:
    """Returns `loss` and `loss_weights` as `compile` took them, `None` where none.

    `_compile_loss`; the public `get_compile_config` gives a serialized copy.
    """
    compiled = getattr(model, "_compile_loss", None)
    if compiled is None:
        return None, None
    return compiled._user_loss, compiled._user_loss_weights


def compiled_metrics(model: Any) -> Any:
    """Returns `metrics` as `compile` took them, `None` without any.

    `_compile_metrics`; the public `get_compile_config` gives a serialized copy.
    """
    compiled = getattr(model, "_compile_metrics", None)
    return None if compiled is None else compiled._user_metrics


def metrics_are_built(model: Any) -> bool:
    """Whether the compiled metrics have their state (`_compile_metrics`).

    Public `metrics` do not list those that are yet to be made.
    """
    compiled = model._compile_metrics
    return compiled is None or compiled.built


def learning_rate_given(optimizer: Any) -> Any:
    """Returns an optimizer's learning rate as given, which may be a schedule.

    `_learning_rate`; the public attribute gives the schedule's present value.
    """
    return getattr(optimizer, "_learning_rate", None)


def batches_applied(optimizer: Any) -> Any:
    """Returns how often an optimizer was applied, an integer variable.

    `_iterations`; the public attribute is divided by `gradient_accumulation_steps`.
    """
    return getattr(optimizer, "_iterations", optimizer.iterations)


def optimized(optimizer: Any) -> Any:
    """Lists the variables that an optimizer was built for, `None` if it has no list.

    `_trainable_variables`; public `variables` are the optimizer's own state. Keras 3.10
    leaves the list of a `LossScaleOptimizer` empty and fills that of the inner one.
    """
    inner = getattr(optimizer, "inner_optimizer", None)
    known = getattr(optimizer, "_trainable_variables", None)
    return known or getattr(inner, "_trainable_variables", known)


def begin_at(model: Any, epoch: int | None) -> None:
    """Has the `fit` that begins start at an epoch; `None` for where it was told to.

    `_initial_epoch`, which Keras reads behind `on_train_begin`, and never resets.
    """
    model._initial_epoch = epoch


def strategy_given(model: Any) -> Any:
    """Returns the `tf.distribute` strategy a model was made under, `None` for none.

    `_distribute_strategy`; the public attribute gives a default one in its place.
    """
    return model._distribute_strategy


# The functions of a trainer.


def loop_of(train_function: Any) -> Any:
    """Returns what a train function does with an iterator.

    A function of an iterator, a `tf.function` unless steps run eagerly, that runs up to
    `steps_per_execution` steps and returns an optional of the outputs of the last;
    `None` where there is none. The variable `multi_step_on_iterator` of
    `TensorFlowTrainer._make_function`; no public way.
    """
    return held_by(train_function).get("multi_step_on_iterator")


def was_traced(train_function: Any) -> bool:
    """Whether a train function has run, as a graph, on an iterator (see `loop_of`).

    Since Keras 3.16 a single step runs without the loop, as `one_step_on_data`.
    """
    held = held_by(train_function)
    name = "multi_step_on_iterator"
    version = tuple(int(part) for part in keras.__version__.split(".")[:2])
    is_single = getattr(held.get("self"), "steps_per_execution", None) == 1
    if is_single and version >= (3, 16):
        name = _ONE_STEP
    # Keras wraps the `tf.function` of a step.
    count = None
    for run in (held.get(name), getattr(held.get(name), "__wrapped__", None)):
        count = count or getattr(run, "experimental_get_tracing_count", None)
    return count is not None and count() > 0


def held_by(train_function: Any) -> Mapping[str, Any]:
    """Returns the variables that a train function closes over, by name.

    In `TensorFlowTrainer._make_function` these are `self`, the trainer, and the
    functions of a step and of several, `one_step_on_data` and `multi_step_on_iterator`;
    no public way. What is no function of Python's has none.
    """
    if not inspect.isfunction(train_function):
        return {}
    return inspect.getclosurevars(train_function).nonlocals


def step_graph() -> Any:
    """Returns the graph of one step of Keras's that is being traced, `None` for none.

    That of `one_step_on_data` in `TensorFlowTrainer._make_function`, by its name, also
    while a loop or a branch within it is traced; no public way.
    """
    import tensorflow as tf

    if tf.executing_eagerly():
        return None
    graph = tf.compat.v1.get_default_graph()
    while graph is not None and getattr(graph, "name", None) != _ONE_STEP:
        graph = getattr(graph, "outer_graph", None)
    return graph
