"""What this package takes from Keras's private side still means what it did.

Runs under the lowest and the newest supported Keras; a failure names the attribute.
"""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_initkit.capture.twin import single_step
from keras_initkit.structure import keras_private as private
from keras_initkit.structure import tensorflow_private
from tests.structure import contracts
from tests.structure.contracts import Subclassed, functional, sequential

k = keras.layers
contract = contracts.Contracts(private)


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


@contract(private.held_by, "TensorFlowTrainer._make_function")
def check_held_by():
    model = sequential()
    model.compile("sgd", "mse")
    model.make_train_function()
    held = private.held_by(model.train_function)
    assert held["self"] is model
    assert callable(held["one_step_on_data"])
    assert callable(held["multi_step_on_iterator"])
    assert private.held_by(tf.function(lambda iterator: None)) == {}


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
    assert tensorflow_private.calls_graph(concrete.graph, found[-1])
    assert not tensorflow_private.calls_graph(found[-1], concrete.graph)


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


@contract.parametrized
def test_what_is_private_means_what_it_did(function, attributes, check):
    contracts.hold(function, attributes, check)


def test_every_function_has_a_contract():
    assert contract.missing() == set()
