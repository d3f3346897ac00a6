"""What this package takes from TensorFlow's private side still means what it did.

Runs under the lowest and the newest supported one; a failure names the attribute.
"""

import weakref

import keras
import tensorflow as tf
from tensorflow.python.framework import ops

from keras_initkit.structure import tensorflow_private as private
from tests.structure import contracts

k = keras.layers
contract = contracts.Contracts(private)


@contract(private.untracked, "the lists and dicts that attributes of layers become")
def check_untracked():
    layer = k.Dense(1)
    layer.some, layer.named = [1], {"a": 1}
    for container, kind in ((layer.some, list), (layer.named, dict)):
        inner = private.untracked(container)
        assert inner == container
        assert type(inner).__module__.partition(".")[0] != "tensorflow"
        assert isinstance(inner, kind)
    plain = [1]
    assert private.untracked(plain) is plain


@contract(private.note_content, "`_update_snapshot` of TensorFlow's lists")
def check_note_content():
    layer = k.Dense(1)
    layer.some = [1]
    private.untracked(layer.some)[:] = [1, 2]
    private.note_content(layer.some)
    assert list(layer.some) == [1, 2]
    private.note_content([1])


@contract(private.function_options, "Function._jit_compile", "Function._autograph")
def check_function_options():
    assert private.function_options(tf.function(len)) == (False, True)
    compiled = tf.function(len, jit_compile=True, autograph=False)
    assert private.function_options(compiled) == (True, False)


@contract(private.function_like, "Function._clone")
def check_function_like():
    signature = [tf.TensorSpec([None], tf.float32)]
    original = tf.function(
        lambda x: x, input_signature=signature, autograph=False, reduce_retracing=True
    )
    copy = private.function_like(original, lambda x: 2 * x)
    assert copy(tf.constant([3.0])).numpy().tolist() == [6.0]
    assert private.function_options(copy) == private.function_options(original)
    assert copy.input_signature == original.input_signature


@contract(private.autograph_status, "tf.__internal__.autograph.control_status_ctx")
def check_autograph_status():
    seen = []

    def note():
        seen.append(private.autograph_status().status.name)

    tf.function(note)()
    tf.function(note, autograph=False)()
    assert seen == ["ENABLED", "DISABLED"]
    assert private.autograph_status().status.name == "UNSPECIFIED"


@contract(private.converted, "tf.__internal__.autograph.tf_convert")
def check_converted():
    def branching(x):
        if x > 0:
            x = -x
        return x

    function = private.converted(branching, private.autograph_status())
    traced = tf.function(function, autograph=False)
    assert traced(tf.constant(2.0)).numpy() == -2.0
    assert traced(tf.constant(-3.0)).numpy() == -3.0


@contract(private.graphs_called_by, "FuncGraph._get_function")
def check_graphs_called_by():
    inner = tf.function(lambda x: x + 1.0)
    outer = tf.function(lambda x: inner(x)).get_concrete_function(
        tf.TensorSpec((2,), tf.float32)
    )
    (call,) = [op for op in outer.graph.get_operations() if "f" in op.node_def.attr]
    (graph,) = private.graphs_called_by(call)
    assert "AddV2" in {op.type for op in graph.get_operations()}


@contract(private.calls_graph, "FuncGraph._get_function")
def check_calls_graph():
    found = []

    @tf.function
    def inner(x):
        found.append(tf.compat.v1.get_default_graph())
        return x + 1.0

    between = tf.function(lambda x: inner(x))
    outer = tf.function(lambda x: between(x)).get_concrete_function(tf.TensorSpec([]))
    assert private.calls_graph(outer.graph, found[-1])
    assert not private.calls_graph(found[-1], outer.graph)


@contract(private.copy_functions, "Graph._functions", "Graph._add_function_recursive")
@contract(
    private.copy_op,
    "Graph._create_op_internal",
    "Operation._set_device",
    "Operation._add_control_inputs",
)
def check_copy_op():
    def source(x):
        with tf.control_dependencies([x + 1.0]):
            return tf.while_loop(lambda y: y < 5.0, lambda y: (y * 2.0,), [x])

    specification = tf.TensorSpec([])
    graph = tf.function(source).get_concrete_function(specification).graph
    (loop,) = [op for op in graph.get_operations() if op.type.endswith("While")]
    inputs = [op for op in graph.get_operations() if op.type == "Const"]

    @tf.function
    def copied(x):
        target = tf.compat.v1.get_default_graph()
        private.copy_functions(graph, target)
        made = {
            t.name: private.copy_op(t.op, [], [], target).outputs[0]
            for t in loop.inputs
            if t.op in inputs
        }
        given = [made.get(t.name, x) for t in loop.inputs]
        copy = private.copy_op(loop, given, [given[0].op], target)
        assert copy.control_inputs == [given[0].op]
        assert {*copy.node_def.attr} >= {*loop.node_def.attr} - {"_class"}
        return copy.outputs[-1]

    assert copied(tf.constant(1.5)) == 6.0


@contract(private.is_recorded, "record.should_record_backprop")
def check_is_recorded():
    weight, x = tf.Variable(2.0), tf.constant(1.0)
    with tf.GradientTape() as tape:
        y = weight * x
        assert private.is_recorded(y)
        assert not private.is_recorded(x)
        with tape.stop_recording():
            assert not private.is_recorded(y)
    assert not private.is_recorded(y)


@contract(private.gradients_also, "imperative_grad.imperative_grad")
@contract(private._also, "imperative_grad.imperative_grad")
def check_gradients_also():
    found = []

    def told(tensors, gradients):
        found.extend(gradients)

    @tf.function
    def slope(weight):
        lying = []
        with private.gradients_also(lambda: lying, told):
            with tf.GradientTape() as tape:
                tape.watch(weight)
                between = weight * 3.0
                lying.append(between)
                loss = between**2
            before = len(weight.graph.get_operations())
            gradient = tape.gradient(loss, weight)
            made = len(weight.graph.get_operations()) - before
        with tf.GradientTape() as tape:
            tape.watch(weight)
            loss = (weight * 3.0) ** 2
        before = len(weight.graph.get_operations())
        tape.gradient(loss, weight)
        assert made == len(weight.graph.get_operations()) - before
        return gradient, found[0]

    gradient, between = slope(tf.constant(2.0))
    assert gradient == 36.0
    assert between == 12.0
    assert len(found) == 1


@contract(private.forget_gradients, "ops.gradient_registry", "_gradient_op_type")
def check_forget_gradients():
    registry = ops.gradient_registry._registry

    @tf.custom_gradient
    def doubled(x):
        return x * 2, lambda upstream: upstream * 2

    @tf.function
    def slope(x):
        before = {*registry}
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = doubled(x)
        assert len({*registry} - before) == 1
        private.forget_gradients(y.graph)
        assert not {*registry} - before
        return tape.gradient(y, x)

    assert slope(tf.constant(3.0)) == 2


@contract(private.marked, "Graph._attr_scope")
def check_marked():
    @tf.function
    def step(x):
        plain = x + 1.0
        with private.marked():
            return plain + 2.0

    graph = step.get_concrete_function(tf.TensorSpec([])).graph
    marks = [
        op.name for op in graph.get_operations() if "_keras_initkit" in op.node_def.attr
    ]
    assert marks == ["add_1/y", "add_1"]
    with private.marked():
        assert tf.constant(1.0) + 1.0 == 2


@contract(private.eager_context, "tensorflow.python.eager.context.context")
def check_eager_context():
    first = private.eager_context()
    with tf.Graph().as_default():
        assert private.eager_context() is first
    assert weakref.ref(first)() is first


@contract(private.runs_in_workers, "CollectiveAllReduceExtended._in_multi_worker_mode")
def check_runs_in_workers():
    alone = tf.distribute.MultiWorkerMirroredStrategy()
    assert private.runs_in_workers(alone) is False


@contract(private.collectives_apart, "MirroredExtended._collective_keys")
def check_collectives_apart():
    strategy = tf.distribute.MirroredStrategy(["CPU:0"])
    keys = strategy.extended._collective_keys
    group = keys.get_group_key(["/device:CPU:0"])
    numbers = [keys.get_instance_key(group, "/device:CPU:0")]
    apart = []
    for _ in range(2):
        with private.collectives_apart(strategy):
            apart.append(keys.get_instance_key(group, "/device:CPU:0"))
        numbers.append(keys.get_instance_key(group, "/device:CPU:0"))
    assert numbers == [100, 101, 102]
    assert apart[1] == apart[0] + 1 > 2**30
    with private.collectives_apart(tf.distribute.get_strategy()):
        pass
    with private.collectives_apart(None):
        pass


@contract.parametrized
def test_what_is_private_means_what_it_did(function, attributes, check):
    contracts.hold(function, attributes, check)


def test_every_function_has_a_contract():
    assert contract.missing() == set()
