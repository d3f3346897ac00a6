"""All that this package takes from TensorFlow which it keeps to itself.

As `keras_private.py` does for Keras: each private attribute is touched here and nowhere
else, and `tests/structure/test_tensorflow_private.py` tells which has changed. What is
of TensorFlow alone is imported where it is needed: initializers run on any backend.
"""

import contextlib
import functools
import threading
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

# Attributes in which an operation names the functions it calls.
_CALLED = ("body", "f", "then_branch", "else_branch")
# How the types of such operations end; to look at the attributes of others takes long.
_CALLING = ("While", "If", "Call", "MapDefun")

# What attributes of layers become.


def untracked(container: Any) -> Any:
    """Returns the list or dict inside one of TensorFlow's, itself for any other.

    `_storage` and `__wrapped__`; attributes of layers that are lists or dicts become
    such, whose own methods forbid later checkpoints.
    """
    if not type(container).__module__.startswith("tensorflow"):
        return container
    inner = getattr(container, "_storage", None)
    return getattr(container, "__wrapped__", container) if inner is None else inner


def note_content(container: Any) -> None:
    """Tells one of TensorFlow's lists or dicts that its content is meant.

    `_update_snapshot`; else it would refuse to be put in a checkpoint.
    """
    if hasattr(container, "_update_snapshot"):
        container._update_snapshot()


# Functions and graphs.


def function_options(function: Any) -> tuple[bool, bool]:
    """Returns `jit_compile` and `autograph` of a `tf.function`; no public way.

    `_jit_compile` and `_autograph`.
    """
    return bool(function._jit_compile), function._autograph


def function_like(function: Any, python_function: Any) -> Any:
    """Makes a `tf.function` with the options of another (`_clone`; no public way)."""
    return function._clone(python_function)


def autograph_status() -> Any:
    """Returns whether code is now converted by AutoGraph, as `converted` takes it.

    `tf.__internal__.autograph`, which is published for Keras only.
    """
    import tensorflow as tf

    return tf.__internal__.autograph.control_status_ctx()


def converted(python_function: Any, status: Any) -> Any:
    """Converts a function as `tf.function` does.

    `tf.__internal__.autograph`; the public `tf.autograph.to_graph` does not heed what
    is marked `do_not_convert`.
    """
    import tensorflow as tf

    return tf.__internal__.autograph.tf_convert(python_function, status)


def graphs_called_by(op: Any) -> list[Any]:
    """Lists the graphs of the functions that an operation calls, `None` for unknown.

    `_get_function`; no public way. A loop's condition is not among them.
    """
    if not op.type.endswith(_CALLING):
        return []
    attributes = op.node_def.attr
    called = [name for name in _CALLED if name in attributes]
    functions = (op.graph._get_function(op.get_attr(name).name) for name in called)
    return [getattr(function, "graph", None) for function in functions]


def calls_graph(graph: Any, called: Any) -> bool:
    """Whether a graph, or one that it calls, calls another."""
    inner = [one for op in graph.get_operations() for one in graphs_called_by(op)]
    return called in inner or any(
        calls_graph(one, called) for one in filter(None, inner)
    )


def copy_functions(graph: Any, target: Any) -> None:
    """Has a graph know the functions that ops of another call.

    `Graph._functions`, `_add_function_recursive`; no public way.
    """
    for function in graph._functions.values():
        target._add_function_recursive(function)


def copy_op(op: Any, inputs: list[Any], after: list[Any], graph: Any) -> Any:
    """Makes an op in a graph that is being traced as one of another graph.

    `Graph._create_op_internal` with the whole of a `node_def`, `_set_device` and
    `_add_control_inputs`; no public way.

    Args:
        op: The op.
        inputs: What it reads there.
        after: The ops that it waits for there.
        graph: The graph.

    Returns:
        The new op, of the same name where that is free.
    """
    attributes = dict(op.node_def.attr)
    # Where it is put, by names of the other graph; and which registered gradient it
    # has, which is not ours to forget (`forget_gradients`).
    for name in ("_class", "_gradient_op_type"):
        attributes.pop(name, None)
    kinds = [output.dtype for output in op.outputs]
    copy = graph._create_op_internal(
        op.type, inputs, kinds, name=op.name, attrs=attributes, compute_device=False
    )
    if op.device:
        copy._set_device(op.device)
    if after:
        copy._add_control_inputs(after)
    for output, made in zip(op.outputs, copy.outputs, strict=True):
        made.set_shape(output.shape)
    return copy


def is_recorded(tensor: Any) -> bool:
    """Whether a `GradientTape` that is active on this thread records what reads it.

    `record.should_record_backprop`; no public way.
    """
    from tensorflow.python.eager import record

    return bool(record.should_record_backprop([tensor]))


class _Asking(NamedTuple):
    """What tapes are asked for: functions as `gradients_also` takes them."""

    of: Callable[[], list[Any] | None]
    found: Callable[[list[Any], list[Any]], None]


class _Thread(threading.local):
    """Who asks tapes of this thread for more gradients."""

    asking: _Asking | None = None


_THREAD = _Thread()
_LOCK = threading.Lock()
_asking = 0


@contextlib.contextmanager
def gradients_also(
    of: Callable[[], list[Any] | None], found: Callable[[list[Any], list[Any]], None]
) -> Iterator[None]:
    """Has tapes of this thread tell gradients of what lies on their way, too.

    `imperative_grad.imperative_grad`, by which `GradientTape.gradient` asks a tape: an
    intermediate result among its sources adds no op. No public way: only who has the
    tape can ask it.

    Args:
        of: Function that returns the tensors, recorded by the tape; `None` for none.
        found: Function that is given the tensors and as many gradients, `None` for
            none.
    """
    from tensorflow.python.eager import imperative_grad as module

    global _asking
    with _LOCK:
        if _asking == 0:
            module.imperative_grad = _also(module.imperative_grad)
        _asking += 1
    before, _THREAD.asking = _THREAD.asking, _Asking(of, found)
    try:
        yield
    finally:
        _THREAD.asking = before
        with _LOCK:
            _asking -= 1
            if _asking == 0:
                module.imperative_grad = module.imperative_grad.__wrapped__


def _also(original: Any) -> Any:
    """Returns a function that asks a tape for more gradients, where one asks for it."""

    @functools.wraps(original)
    def imperative_grad(
        tape,
        target,
        sources,
        output_gradients=None,
        sources_raw=None,
        unconnected_gradients="none",
    ):
        asking = _THREAD.asking
        # Where zeros are to be made for what is not connected, none for our sources.
        kind = getattr(unconnected_gradients, "value", unconnected_gradients)
        more = (asking.of() if asking is not None and kind == "none" else None) or []
        gradients = original(
            tape,
            target,
            [*sources, *more],
            output_gradients,
            sources_raw and [*sources_raw, *more],
            unconnected_gradients,
        )
        asked = len(sources)
        if asking is not None and more:
            asking.found(more, gradients[asked:])
        return gradients[:asked]

    return imperative_grad


@contextlib.contextmanager
def marked() -> Iterator[None]:
    """Marks the ops that are made meanwhile in the graph that is being traced.

    The graph optimizer takes ops for the same only where all attributes agree, so that
    no op of ours is taken for one of a step's. `Graph._attr_scope`; no public way.
    """
    import tensorflow as tf

    if tf.executing_eagerly():
        yield
        return
    value = tf.compat.v1.AttrValue(b=True)
    with tf.compat.v1.get_default_graph()._attr_scope({"_keras_initkit": value}):
        yield


def eager_context() -> Any:
    """Returns the context in which this process runs TensorFlow; no public way.

    `tensorflow.python.eager.context`. Functions that were traced run in one only.
    """
    from tensorflow.python.eager import context

    return context.context()


def forget_gradients(graph: Any) -> None:
    """Takes back what `tf.custom_gradient` has registered for a graph that is traced.

    `ops.gradient_registry`, `_gradient_op_type`: TensorFlow keeps each such gradient
    for good, that of a tap or of an optimizer's `all_reduce`, and with it the whole
    graph. Tapes do not ask the registry.
    """
    from tensorflow.python.framework import ops

    for op in graph.get_operations():
        if op.type == "IdentityN" and "_gradient_op_type" in op.node_def.attr:
            name = op.get_attr("_gradient_op_type").decode()
            ops.gradient_registry._registry.pop(name, None)


def runs_in_workers(strategy: Any) -> bool:
    """Whether a strategy of several workers has them (`_in_multi_worker_mode`).

    No public way: it may also stand for a single process.
    """
    return strategy.extended._in_multi_worker_mode()


# Where the numbers of collectives begin that are told apart: TensorFlow's begin at 100.
_FIRST_APART = 2**30
_next_apart = _FIRST_APART


@contextlib.contextmanager
def collectives_apart(strategy: Any) -> Iterator[None]:
    """Has what replicas exchange meanwhile be numbered apart from all that was before.

    `MirroredExtended._collective_keys`, `_instance_key_table`; no public way. Each
    strategy numbers its collectives from the same number on, a call of a function at a
    time, and TensorFlow ends a program in which a number stands for a sum in one
    strategy and for a gathering in another of the same devices. Several processes must
    agree in their numbers: those of strategies with workers stay.
    """
    import tensorflow as tf

    global _next_apart
    alone = type(strategy) is tf.distribute.MirroredStrategy
    keys = getattr(strategy.extended, "_collective_keys", None) if alone else None
    tables = getattr(keys, "_instance_key_table", {})
    before = {group: dict(numbers) for group, numbers in tables.items()}
    for group in before:
        tables[group].update(dict.fromkeys(tables[group], _next_apart))
    try:
        yield
    finally:
        used = [number for group in before for number in tables[group].values()]
        _next_apart = max([_next_apart, *used])
        for group, numbers in before.items():
            tables[group].update(numbers)
