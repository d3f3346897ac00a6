"""What this package takes from Keras's private side still means what it did.

Runs under the lowest and the newest supported Keras; a failure names the attribute.
"""

import ast
import inspect
import pathlib

import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorflow.python.framework import ops

from keras_initkit.capture.twin import single_step
from keras_initkit.structure import keras_private as private

k = keras.layers
VERSIONS = f"Keras {keras.__version__}, TensorFlow {tf.__version__}"
CONTRACTS = []


def contract(function, *attributes):
    """Registers a check of a function and names the attributes behind it."""

    def register(check):
        CONTRACTS.append((function, attributes, check))
        return check

    return register


@pytest.fixture(autouse=True)
def _clear_session():
    keras.backend.clear_session(free_memory=False)


def functional():
    inputs = keras.Input((3,), name="in")
    x = k.Dense(3, activation="relu", name="first")(inputs)
    return keras.Model(inputs, k.Add(name="sum")([x, inputs]), name="functional")


def sequential():
    return keras.Sequential(
        [keras.Input((3,)), k.Dense(4, name="first"), k.Dense(2, name="second")]
    )


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__()
        self.scale = self.add_weight(shape=(), name="scale")
        self.steps = self.add_weight(shape=(), name="steps", trainable=False)
        self.inner = keras.Sequential([k.Dense(2, name="below")], name="inner")
        self.head = k.Dense(1, name="head")

    def call(self, x):
        self.add_loss(keras.ops.sum(self.scale))
        return self.head(self.inner(x)) * self.scale


def names(layers):
    return [layer.name for layer in layers]


def same(found, expected):
    """Whether two lists hold the very same objects."""
    return [id(one) for one in found] == [id(one) for one in expected]


@contract(private.layers_below, "Layer._flatten_layers")
def check_layers_below():
    model = Subclassed()
    assert names(private.layers_below(model)) == ["inner", "below", "head"]
    assert same(private.layers_below(model, include_self=True)[:1], [model])
    recurrent = k.LSTM(2)
    assert same(private.layers_below(recurrent), [recurrent.cell])
    assert private.layers_below(k.Dense(1)) == []


@contract(private.sublayers, "Layer._layers")
def check_sublayers():
    assert names(private.sublayers(Subclassed())) == ["inner", "head"]
    assert not private.sublayers(k.Dense(1))
    assert len(private.sublayers(k.Bidirectional(k.LSTM(2)))) == 2


@contract(private.own_trainable, "Layer._trainable_variables")
def check_own_trainable():
    model = Subclassed()
    model(np.ones((1, 3), np.float32))
    assert same(private.own_trainable(model), [model.scale])
    dense = model.head
    assert same(private.own_trainable(dense), [dense.kernel, dense.bias])
    dense.trainable = False
    assert same(private.own_trainable(dense), [dense.kernel, dense.bias])


@contract(
    private.own_variables,
    "Layer._trainable_variables",
    "Layer._non_trainable_variables",
)
def check_own_variables():
    model = Subclassed()
    model(np.ones((1, 3), np.float32))
    assert same(private.own_variables(model), [model.scale, model.steps])
    norm = k.BatchNormalization()
    norm.build((None, 3))
    own = [norm.gamma, norm.beta, norm.moving_mean, norm.moving_variance]
    assert same(private.own_variables(norm), own)


@contract(private.scale_beside, "EinsumDense._adjust_scale_for_dequant")
def check_scale_beside():
    layer = k.EinsumDense("abc,cde->abde", (None, 2, 5))
    layer.build((None, 3, 4))
    layer.quantize("int8")
    scale = np.asarray(private.scale_beside(layer, layer.kernel_scale))
    assert np.broadcast_shapes(scale.shape, tuple(layer.kernel.shape)) == (4, 2, 5)
    dense = k.Dense(2)
    assert private.scale_beside(dense, 3.0) == 3.0


@contract(private.attention_projection, "MultiHeadAttention._query_dense and the like")
def check_attention_projection():
    shape = (None, 5, 4)
    for layer in (k.MultiHeadAttention(2, 2), k.GroupQueryAttention(2, 2, 1)):
        layer.build(shape, shape)
        for part in ("query", "key", "value", "output"):
            dense = private.attention_projection(layer, part)
            assert isinstance(dense, k.EinsumDense), (type(layer).__name__, part)
    assert private.attention_projection(k.Dense(1), "query") is None


@contract(private.layer_in_making, "name_scope_stack", "name_scope.caller")
def check_layer_in_making():
    seen = []

    def note(shape, dtype=None):
        seen.append(private.layer_in_making())
        return keras.ops.zeros(shape, dtype)

    layer = k.Dense(2, kernel_initializer=note, bias_initializer=note)
    assert private.layer_in_making() is None
    layer.build((None, 3))
    recurrent = k.LSTM(2, recurrent_initializer=note)
    recurrent(np.zeros((1, 2, 3), "float32"))
    with keras.StatelessScope():
        k.Dense(2, kernel_initializer=note).build((None, 3))
    assert seen == [layer, layer, recurrent.cell, None]
    assert private.layer_in_making() is None


@contract(private.takes_training, "Layer._call_has_training_arg")
def check_takes_training():
    class Taking(keras.Model):
        def call(self, x, training=False):
            return x

    assert private.takes_training(Taking())
    assert private.takes_training(functional())
    assert not private.takes_training(Subclassed())


@contract(private.is_rematerialized, "Layer._remat_mode")
def check_is_rematerialized():
    assert not private.is_rematerialized(k.Dense(1))
    with keras.RematScope(mode="full"):
        layer = k.Dense(1)
    assert private.is_rematerialized(layer)


@contract(private.added_losses, "Layer._losses")
def check_added_losses():
    model = Subclassed()
    assert [held for _, held in private.added_losses(model) if held] == []
    model(np.ones((2, 3), np.float32))
    assert [len(held) for _, held in private.added_losses(model) if held] == [1]


@contract(private.set_added_losses, "Layer._losses", "Layer._clear_losses")
def check_set_added_losses():
    model = Subclassed()
    none = private.added_losses(model)
    model(np.ones((2, 3), np.float32))
    one = private.added_losses(model)
    private.set_added_losses(model, none)
    assert model.losses == []
    private.set_added_losses(model, one)
    assert len(model.losses) == 1


@contract(private.is_stateful, "its classes")
def check_is_stateful():
    for held in (
        k.Dense(1),
        keras.metrics.Mean(),
        keras.optimizers.SGD(),
        keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD()),
        keras.random.SeedGenerator(1),
    ):
        assert private.is_stateful(held)
    assert not private.is_stateful(keras.losses.MeanSquaredError())


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


@contract(private.own_attributes, "what a new layer and a new model hold")
def check_own_attributes():
    names = private.own_attributes()
    assert {"built", "_losses", "_metrics", "_called"} & names
    assert "calls" not in names


@contract(
    private.functional_graph, "Sequential._functional", "Functional._nodes_by_depth"
)
def check_functional_graph():
    model = functional()
    assert private.functional_graph(model) is model
    assert private.functional_graph(Subclassed()) is None
    assert private.functional_graph(k.Dense(1)) is None
    assert private.functional_graph(keras.Sequential([k.Dense(1)])) is None
    built = sequential()
    graph = private.functional_graph(built)
    assert private.functional_graph(graph) is graph
    assert same(graph.inputs, built.inputs)
    assert same(graph.outputs, built.outputs)
    # Where the structure of the inputs is read.
    inputs = {name: keras.Input((1,), name=name) for name in "ab"}
    named = keras.Model(inputs, inputs["a"] + inputs["b"])
    assert set(private.functional_graph(named).input) == {"a", "b"}


@contract(private.nodes_in_order, "Function._nodes_by_depth", "Node (its attributes)")
def check_nodes_in_order():
    shared = k.Dense(3, name="shared")
    first = keras.Input((3,), name="in")
    middle = shared(first)
    last = keras.ops.relu(shared(middle) + first)
    nodes = private.nodes_in_order(keras.Model(first, last))
    order = ["InputLayer", "Dense", "Dense", "Add", "Relu"]
    assert [type(node.operation).__name__ for node in nodes] == order
    assert same(nodes[1].input_tensors, [first])
    assert same(nodes[1].output_tensors, [middle])
    assert same(nodes[2].input_tensors, [middle])
    assert len(nodes[3].input_tensors) == 2
    assert same(nodes[4].output_tensors, [last])


@contract(private.arguments_of, "Node.arguments")
def check_arguments_of():
    x = keras.Input((3,))
    summed = keras.layers.add([x, 2.0 * x])
    nodes = private.nodes_in_order(keras.Model(x, summed))
    assert private.arguments_of(nodes[0]) == ((), {})
    (factor, tensor), options = private.arguments_of(nodes[1])
    assert (factor, options) == (2.0, {})
    assert tensor is x
    ((operands,), _) = private.arguments_of(nodes[2])
    assert operands[0] is x


@contract(private.maker_of, "KerasTensor._keras_history")
def check_maker_of():
    layer = k.LSTM(2, return_state=True)
    outputs = layer(keras.Input((4, 3)))
    for number, tensor in enumerate(outputs):
        operation, output = private.maker_of(tensor)
        assert operation is layer
        assert output == number


@contract(private.is_activation_operation, "the module keras.src.ops.nn")
def check_is_activation_operation():
    x = keras.Input((3,))
    for tensor in (keras.ops.relu(x), keras.ops.gelu(x), keras.activations.tanh(x)):
        operation, _ = private.maker_of(tensor)
        known = private.is_activation_operation(operation)
        # `tanh` is one of numpy's.
        assert known == (type(operation).__name__ != "Tanh"), operation
    assert not private.is_activation_operation(private.maker_of(x + x)[0])
    assert not private.is_activation_operation(k.Dense(1))


@contract(private.logits_of, "Tensor._keras_logits")
def check_logits_of():
    logits = tf.constant([[1.0, 2.0]])
    for activation in (keras.activations.softmax, keras.activations.sigmoid):
        assert private.logits_of(activation(logits)) is logits
    assert private.logits_of(logits) is None


@contract(private.set_logits, "Tensor._keras_logits")
def check_set_logits():
    # Of wrong probabilities: losses heed the logits, so they are read.
    wrong = tf.constant([[0.5, 0.5]])
    private.set_logits(wrong, tf.constant([[0.0, 3.0]]))
    loss = keras.ops.categorical_crossentropy([[0.0, 1.0]], wrong)
    np.testing.assert_allclose(loss, np.log1p(np.exp(-3.0)), rtol=1e-5)


@contract(private.copy_marks, "Tensor._keras_mask", "Tensor._keras_logits")
def check_copy_marks():
    embedded = k.Embedding(3, 2, mask_zero=True)(tf.constant([[1, 2, 0]]))
    copy = tf.identity(embedded)
    private.copy_marks(embedded, copy)
    # The layer that follows heeds the mask: the last step does not count.
    pooled = k.GlobalAveragePooling1D()(copy)
    np.testing.assert_allclose(
        pooled, np.mean(embedded.numpy()[:, :2], axis=1), rtol=1e-6
    )
    probabilities = keras.activations.softmax(tf.constant([[1.0, 2.0]]))
    copy = tf.identity(probabilities)
    private.copy_marks(probabilities, copy)
    assert private.logits_of(copy) is private.logits_of(probabilities)


@contract(
    private.compiled_loss,
    "Trainer._compile_loss",
    "CompileLoss._user_loss",
    "CompileLoss._user_loss_weights",
)
def check_compiled_loss():
    model = functional()
    assert private.compiled_loss(model) == (None, None)
    assert private.compiled_loss(object()) == (None, None)
    loss = keras.losses.MeanSquaredError()
    model.compile("sgd", loss=[loss], loss_weights=[2.0])
    (given,), weights = private.compiled_loss(model)
    assert given is loss
    assert weights == [2.0]
    model.compile("sgd", loss="mse")
    assert private.compiled_loss(model) == ("mse", None)


@contract(
    private.compiled_metrics, "Trainer._compile_metrics", "CompileMetrics._user_metrics"
)
def check_compiled_metrics():
    model = functional()
    assert private.compiled_metrics(model) is None
    model.compile("sgd", loss="mse", metrics=["mae"])
    assert keras.tree.flatten(private.compiled_metrics(model)) == ["mae"]


@contract(private.metrics_are_built, "Trainer._compile_metrics")
def check_metrics_are_built():
    model = functional()
    model.compile("sgd", loss="mse")
    assert private.metrics_are_built(model)
    model.compile("sgd", loss="mse", metrics=["mae"])
    assert not private.metrics_are_built(model)
    x = np.ones((2, 3), np.float32)
    model.train_on_batch(x, x)
    assert private.metrics_are_built(model)


@contract(private.learning_rate_given, "Optimizer._learning_rate")
def check_learning_rate_given():
    schedule = keras.optimizers.schedules.ExponentialDecay(0.1, 10, 0.5)
    assert private.learning_rate_given(keras.optimizers.SGD(schedule)) is schedule
    plain = private.learning_rate_given(keras.optimizers.SGD(0.5))
    assert float(plain) == 0.5
    assert private.learning_rate_given(object()) is None


@contract(private.batches_applied, "Optimizer._iterations")
def check_batches_applied():
    optimizer = keras.optimizers.SGD(0.1, gradient_accumulation_steps=2)
    variable = keras.Variable(1.0)
    optimizer.build([variable])
    for _ in range(3):
        optimizer.apply([tf.constant(1.0)])
    assert int(np.asarray(private.batches_applied(optimizer))) == 3
    assert int(np.asarray(optimizer.iterations)) == 1


@contract(private.optimized, "Optimizer._trainable_variables")
def check_optimized():
    variable = keras.Variable(1.0)
    inner = keras.optimizers.Adam()
    for optimizer in (
        inner,
        keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD()),
    ):
        assert not private.optimized(optimizer)
        optimizer.build([variable])
        assert same(private.optimized(optimizer), [variable])
    assert private.optimized(None) is None


@contract(private.begin_at, "Trainer._initial_epoch")
def check_begin_at():
    model, x = sequential(), np.zeros((4, 3), np.float32)
    model.compile("sgd", "mse")
    begun = []

    class Beginning(keras.callbacks.Callback):
        def on_train_begin(self, logs=None):
            private.begin_at(self.model, 3)

        def on_epoch_begin(self, epoch, logs=None):
            begun.append(epoch)
            private.begin_at(self.model, None)

    for callbacks in ([Beginning()], []):
        model.fit(x, model(x), epochs=5, verbose=0, callbacks=callbacks)
    assert begun == [3, 4]


@contract(private.strategy_given, "Layer._distribute_strategy")
def check_strategy_given():
    assert private.strategy_given(sequential()) is None
    strategy = tf.distribute.OneDeviceStrategy("/cpu:0")
    with strategy.scope():
        model = sequential()
    assert private.strategy_given(model) is strategy


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


@contract(private.loop_of, "TensorFlowTrainer._make_function")
def check_loop_of():
    model = sequential()
    model.compile("sgd", "mse", steps_per_execution=2)
    model.make_train_function()
    loop = private.loop_of(model.train_function)
    x = np.ones((4, 1, 3), "float32")
    batches = iter(tf.data.Dataset.from_tensor_slices((x, np.ones((4, 1, 2)))))
    logs = loop(batches).get_value()
    assert set(logs) == {"loss"}
    assert int(model.optimizer.iterations) == 2
    assert private.loop_of(lambda iterator: None) is None
    assert private.loop_of(tf.function(len)) is None


@contract(private.was_traced, "TensorFlowTrainer._make_function")
def check_was_traced():
    model = sequential()
    model.compile("sgd", "mse")
    model.make_train_function()
    assert not private.was_traced(model.train_function)
    model.fit(np.ones((4, 3)), np.ones((4, 2)), verbose=0)
    assert private.was_traced(model.train_function)
    assert not private.was_traced(lambda iterator: None)


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


@contract(private.name_scopes_kept, "global_state name_scope_stack")
def check_name_scopes_kept():
    @tf.function
    def refused():
        return keras.layers.Activation("relu", name="a\0b")(tf.zeros((1, 2)))

    with private.name_scopes_kept(), pytest.raises(ValueError):  # noqa: PT011
        refused()
    following = k.Dense(1, name="following")
    following.build((None, 1))
    assert following.path == "following"


@contract(private.step_graph, "TensorFlowTrainer._make_function")
@contract(private.calls_graph, "FuncGraph._get_function")
def check_step_graph():
    found = []

    class Looking(keras.Model):
        def train_step(self, data):
            def body(i):
                found.append(private.step_graph())
                return i + 1

            found.append(private.step_graph())
            tf.while_loop(lambda i: i < 2, body, [tf.constant(0)])
            return {"loss": tf.constant(0.0)}

    model = Looking()
    model.compile("sgd", steps_per_execution=2)
    model.fit(np.ones((4, 3)), verbose=0)
    assert found[-1] is found[-2] is not None
    assert private.step_graph() is None
    loop = private.loop_of(model.train_function)
    (concrete,) = loop._list_all_concrete_functions()
    assert private.calls_graph(concrete.graph, found[-1])
    assert not private.calls_graph(found[-1], concrete.graph)


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


@contract(
    single_step.of, "Trainer.make_train_function", "TensorFlowTrainer.train_function"
)
def check_train_function_takes_any_iterator():
    """A train function takes a list of one batch for its iterator."""
    x = np.ones((2, 3), np.float32)
    batch = tf.constant(x), tf.constant(x)
    model = functional()
    model.compile("sgd", loss="mse")
    model.fit(x, x, verbose=0)
    step = model.train_function
    model.make_train_function(force=True)
    assert model.train_function is not step
    before = int(model.optimizer.iterations)
    assert set(single_step.of(model.train_function)(batch)) == {"loss"}
    optional = tf.experimental.Optional.from_value(batch)
    assert set(single_step.of(model.train_function)(optional)) == {"loss"}
    assert int(model.optimizer.iterations) == before + 2


@pytest.mark.parametrize(
    ("function", "attributes", "check"),
    CONTRACTS,
    ids=[function.__name__ for function, *_ in CONTRACTS],
)
def test_what_is_private_means_what_it_did(function, attributes, check):
    try:
        check()
    except Exception as error:
        told = f"{type(error).__name__}: {error}"
        raise AssertionError(
            f"`{function.__name__}` does not give what its docstring says under "
            f"{VERSIONS}. Behind it: {', '.join(attributes)}. {told}"
        ) from error


def test_every_function_has_a_contract():
    functions = inspect.getmembers(private, inspect.isfunction)
    own = {f for _, f in functions if f.__module__ == private.__name__}
    assert own <= {function for function, *_ in CONTRACTS}


PACKAGE = pathlib.Path(private.__file__).parent.parent
SOURCES = sorted(set(PACKAGE.rglob("*.py")) - {pathlib.Path(private.__file__)})
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
    node = private.nodes_in_order(model)[0]
    function = tf.function(lambda x: x + 1)
    concrete = function.get_concrete_function(tf.TensorSpec([], tf.float32))
    strategy = tf.distribute.get_strategy()
    things = [
        model,
        sequential(),
        Subclassed(),
        node,
        node.operation,
        private.maker_of(keras.ops.relu(model.inputs[0]))[0],
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
    assert not found, f"belongs in {private.__name__}: {found}"


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
