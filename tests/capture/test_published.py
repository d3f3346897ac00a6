"""Programs as they are published: watched they end at the bits of the bare ones.

Small versions, written anew, of what goes wrong easily: models without a `call`, steps
with several networks and optimizers, tapes in tapes, targets that move along.
"""

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_initkit as kik

k = keras.layers
RNG = np.random.default_rng(0)
X = RNG.normal(size=(48, 6)).astype("float32")
LABELS = RNG.integers(0, 3, 48)
WORDS = RNG.integers(1, 20, (48, 5))
IMAGES = RNG.normal(size=(48, 8, 8, 3)).astype("float32")
EDGES = np.stack([np.arange(40), RNG.permutation(40)], axis=1)
BATCH = 8
SIGNALS = ("activation", "backprop", "gradient", "weight", "update")


def mlp(name, outputs, inputs=6, **options):
    return keras.Sequential(
        [
            keras.Input((inputs,)),
            k.Dense(8, "relu", name=f"{name}_hidden"),
            k.Dense(outputs, name=f"{name}_out", **options),
        ],
        name=name,
    )


def classifying(model, optimizer, **options):
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer, loss, **options)
    return model


def applied(optimizer, tape, loss, weights):
    optimizer.apply(tape.gradient(loss, weights), weights)


class WithoutCall(keras.Model):
    """Two networks, an optimizer for each, and no `call`."""

    def __init__(self, penalty=0.0):
        super().__init__(name="gan")
        self.generator, self.critic = mlp("generator", 6, 4), mlp("critic", 1)
        self.seeds = keras.random.SeedGenerator(3)
        self.penalty = penalty
        self.loss_of_critic = keras.metrics.Mean("critic_loss")

    def compile(self):
        super().compile()
        self.of_generator = keras.optimizers.Adam(1e-3)
        self.of_critic = keras.optimizers.RMSprop(1e-3)

    def noise(self, real):
        return keras.random.normal((tf.shape(real)[0], 4), seed=self.seeds)

    def train_step(self, real):
        for _ in range(2):
            with tf.GradientTape() as tape:
                fake = self.generator(self.noise(real), training=True)
                loss = tf.reduce_mean(self.critic(fake) - self.critic(real))
                if self.penalty:
                    loss += self.penalty * self.penalized(real, fake)
            applied(self.of_critic, tape, loss, self.critic.trainable_weights)
        with tf.GradientTape() as tape:
            fake = self.generator(self.noise(real), training=True)
            loss = -tf.reduce_mean(self.critic(fake))
        applied(self.of_generator, tape, loss, self.generator.trainable_weights)
        self.loss_of_critic.update_state(loss)
        return {"loss": self.loss_of_critic.result()}

    def penalized(self, real, fake):
        """The gradient penalty of WGAN-GP, by a tape in the tape."""
        mix = keras.random.uniform((tf.shape(real)[0], 1), seed=self.seeds)
        between = mix * real + (1.0 - mix) * fake
        with tf.GradientTape() as tape:
            tape.watch(between)
            judged = self.critic(between, training=True)
        norms = tf.norm(tape.gradient(judged, between), axis=1)
        return tf.reduce_mean((norms - 1.0) ** 2)


def gan(penalty=0.0):
    model = WithoutCall(penalty)
    model.compile()
    return model


class Variational(keras.Model):
    def __init__(self):
        super().__init__(name="vae")
        self.encoder, self.decoder = mlp("encoder", 4), mlp("decoder", 6, 2)
        self.seeds = keras.random.SeedGenerator(1)

    def train_step(self, x):
        with tf.GradientTape() as tape:
            mean, log_variance = tf.split(self.encoder(x, training=True), 2, axis=1)
            noise = keras.random.normal(tf.shape(mean), seed=self.seeds)
            decoded = self.decoder(mean + tf.exp(0.5 * log_variance) * noise)
            prior = tf.reduce_mean(mean**2 + tf.exp(log_variance) - log_variance)
            loss = tf.reduce_mean((decoded - x) ** 2) + 0.1 * prior
        applied(self.optimizer, tape, loss, self.trainable_weights)
        return {"loss": loss}


def vae():
    model = Variational()
    model.compile(optimizer="adam")
    return model


class Diffusion(keras.Model):
    """Denoises, and has a second network follow the first."""

    def __init__(self):
        super().__init__(name="diffusion")
        self.normalizer = k.Normalization(name="normalizer")
        self.network, self.following = mlp("network", 6), mlp("following", 6)
        self.normalizer.adapt(X)
        self.following.set_weights(self.network.get_weights())

    def train_step(self, x):
        x = self.normalizer(x, training=True)
        noise = tf.random.stateless_normal(tf.shape(x), (1, 2))
        with tf.GradientTape() as tape:
            loss = self.loss(noise, self.network(0.6 * x + 0.8 * noise, training=True))
        applied(self.optimizer, tape, loss, self.network.trainable_weights)
        for one, other in zip(
            self.network.weights, self.following.weights, strict=True
        ):
            other.assign(0.9 * other + 0.1 * one)
        return {"loss": loss}


def diffusion():
    model = Diffusion()
    model.compile(optimizer="adamw", loss=keras.losses.MeanAbsoluteError())
    return model


class Contrastive(keras.Model):
    """SimSiam: one encoder sees two views, and one of them has no gradient."""

    def __init__(self):
        super().__init__(name="simsiam")
        self.encoder, self.predictor = mlp("encoder", 4), mlp("predictor", 4, 4)
        self.seeds = keras.random.SeedGenerator(2)

    def view(self, x):
        return x + 0.1 * keras.random.normal(tf.shape(x), seed=self.seeds)

    def train_step(self, x):
        one, other = self.view(x), self.view(x)
        with tf.GradientTape() as tape:
            a, b = self.encoder(one, training=True), self.encoder(other, training=True)
            loss = self.distance(self.predictor(a), b) + self.distance(
                self.predictor(b), a
            )
        weights = self.encoder.trainable_weights + self.predictor.trainable_weights
        applied(self.optimizer, tape, loss, weights)
        return {"loss": loss}

    @staticmethod
    def distance(predicted, target):
        target = tf.math.l2_normalize(tf.stop_gradient(target), axis=1)
        return -tf.reduce_mean(tf.math.l2_normalize(predicted, axis=1) * target)


def simsiam():
    model = Contrastive()
    model.compile(optimizer=keras.optimizers.SGD(0.1, momentum=0.9))
    return model


class TwoEncoders(keras.Model):
    """CLIP: pictures and words in one space, by a temperature that is learned."""

    def __init__(self):
        super().__init__(name="clip")
        self.of_vectors = mlp("vectors", 4)
        self.of_words = keras.Sequential(
            [
                keras.Input((5,), dtype="int32"),
                k.Embedding(20, 6, name="embed"),
                k.LSTM(4, name="read"),
            ],
            name="words",
        )
        self.scale = self.add_weight(shape=(), initializer="ones", name="scale")

    def call(self, pair):
        vectors, words = self.of_vectors(pair[0]), self.of_words(pair[1])
        both = [keras.ops.normalize(one, axis=1) for one in (vectors, words)]
        alike = keras.ops.matmul(both[0], keras.ops.transpose(both[1]))
        return keras.ops.exp(self.scale) * alike

    def train_step(self, data):
        (pair,) = data
        numbers = tf.range(tf.shape(pair[0])[0])
        with tf.GradientTape() as tape:
            alike = self(pair, training=True)
            ways = (alike, tf.transpose(alike))
            loss = sum(self.compute_loss(y=numbers, y_pred=one) for one in ways)
        applied(self.optimizer, tape, loss, self.trainable_weights)
        return {"loss": loss}


def clip():
    return classifying(TwoEncoders(), "adamw")


class MomentumContrast(keras.Model):
    """MoCo: a second encoder follows the first, and its outputs wait in a queue."""

    def __init__(self):
        super().__init__(name="moco")
        self.encoder, self.following = mlp("encoder", 4), mlp("following", 4)
        self.following.set_weights(self.encoder.get_weights())
        self.following.trainable = False
        self.queue = self.add_weight(
            shape=(24, 4),
            initializer=keras.initializers.RandomNormal(seed=4),
            trainable=False,
            name="queue",
        )

    def train_step(self, x):
        keys = tf.math.l2_normalize(self.following(x, training=True), axis=1)
        with tf.GradientTape() as tape:
            queries = tf.math.l2_normalize(self.encoder(x, training=True), axis=1)
            right = tf.reduce_sum(queries * keys, axis=1, keepdims=True)
            others = queries @ tf.transpose(tf.convert_to_tensor(self.queue))
            logits = tf.concat([right, others], axis=1) / 0.2
            first = tf.zeros(tf.shape(x)[0], tf.int32)
            loss = self.compute_loss(y=first, y_pred=logits)
        applied(self.optimizer, tape, loss, self.encoder.trainable_weights)
        for one, other in zip(
            self.encoder.weights, self.following.weights, strict=True
        ):
            other.assign(0.9 * other + 0.1 * one)
        queue = tf.concat([keys, tf.convert_to_tensor(self.queue)], axis=0)
        self.queue.assign(queue[:24])
        return {"loss": loss}


def moco():
    return classifying(MomentumContrast(), keras.optimizers.SGD(0.1, momentum=0.9))


class Distilled(keras.Model):
    def __init__(self):
        super().__init__(name="distilled")
        self.teacher, self.student = mlp("teacher", 3), mlp("student", 3)
        self.teacher.trainable = False

    def call(self, x):
        return self.student(x)

    def compute_loss(
        self, x=None, y=None, y_pred=None, sample_weight=None, training=True
    ):
        hard = super().compute_loss(x, y, y_pred, sample_weight, training)
        soft = tf.nn.softmax(self.teacher(x, training=False) / 2.0)
        return hard + keras.losses.kl_divergence(soft, tf.nn.softmax(y_pred / 2.0))


def distilled():
    return classifying(Distilled(), "adam", metrics=["accuracy"])


class GraphAttention(keras.layers.Layer):
    """Attends over the edges of one graph."""

    def __init__(self, units, edges, **options):
        super().__init__(**options)
        self.dense, self.score = k.Dense(units), k.Dense(1)
        self.edges = edges

    def build(self, shape):
        self.dense.build(shape)
        self.score.build((None, 2 * self.dense.units))

    def call(self, nodes):
        nodes = self.dense(nodes)
        ends = tf.gather(nodes, self.edges)
        scores = tf.exp(tf.nn.leaky_relu(self.score(tf.reshape(ends, (40, -1)))))
        to, size = self.edges[:, 0], len(X)
        total = tf.math.unsorted_segment_sum(scores, to, size)
        shares = scores / tf.gather(total, to)
        return tf.math.unsorted_segment_sum(shares * ends[:, 1], to, size)


class OfAGraph(keras.Model):
    """Classifies nodes by their numbers; the graph is an attribute."""

    def __init__(self):
        super().__init__(name="graph")
        self.attention = GraphAttention(5, EDGES, name="attention")
        self.out = k.Dense(3, name="out")

    def call(self, nodes):
        return self.out(self.attention(nodes))

    def train_step(self, data):
        numbers, labels = data
        with tf.GradientTape() as tape:
            outputs = tf.gather(self(tf.constant(X)), numbers)
            loss = self.compute_loss(y=labels, y_pred=outputs)
        applied(self.optimizer, tape, loss, self.trainable_weights)
        return {"loss": loss}


def graph_attention():
    return classifying(OfAGraph(), keras.optimizers.SGD(0.1, momentum=0.9))


def siamese():
    encoder = mlp("encoder", 4)
    one, other = keras.Input((6,), name="one"), keras.Input((6,), name="other")
    apart = k.Lambda(
        lambda pair: keras.ops.norm(pair[0] - pair[1], axis=1, keepdims=True),
        name="apart",
    )([encoder(one), encoder(other)])
    model = keras.Model([one, other], k.Dense(1, "sigmoid", name="out")(apart))
    model.compile("rmsprop", "binary_crossentropy")
    return model


def seq2seq():
    source, target = keras.Input((5,), name="source"), keras.Input((5,), name="target")
    embed = k.Embedding(20, 6, mask_zero=True, name="embed")
    _, state = k.GRU(7, return_state=True, name="encoder")(embed(source))
    decoded = k.GRU(7, return_sequences=True, name="decoder")(
        embed(target), initial_state=state
    )
    model = keras.Model([source, target], k.Dense(20, name="out")(decoded))
    return classifying(model, "adam")


class Patches(keras.layers.Layer):
    def call(self, images):
        patches = tf.image.extract_patches(
            images, (1, 4, 4, 1), (1, 4, 4, 1), (1, 1, 1, 1), "VALID"
        )
        return tf.reshape(patches, (-1, 4, 48))


def vision_transformer():
    inputs = keras.Input((8, 8, 3))
    x = k.RandomFlip("horizontal", seed=1, name="flip")(inputs)
    x = k.Dense(8, name="embed")(Patches(name="patches")(x))
    normal = k.LayerNormalization(name="normal")(x)
    x = k.Add(name="add")(
        [x, k.MultiHeadAttention(2, 4, name="attend")(normal, normal)]
    )
    x = k.Dropout(0.2, seed=2, name="drop")(k.Flatten(name="flat")(x))
    model = keras.Model(inputs, k.Dense(3, name="out")(x))
    return classifying(model, "adamw")


def classifier():
    return classifying(mlp("classifier", 3), "adam")


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    """Batches out of a TFRecord file, whose number is not known."""
    path = str(tmp_path_factory.mktemp("records") / "data.tfrecord")
    with tf.io.TFRecordWriter(path) as writer:
        for x, label in zip(X, LABELS, strict=True):
            floats = tf.train.Feature(float_list=tf.train.FloatList(value=x))
            number = tf.train.Feature(int64_list=tf.train.Int64List(value=[label]))
            features = tf.train.Features(feature={"x": floats, "y": number})
            writer.write(tf.train.Example(features=features).SerializeToString())

    def parsed(example):
        row = tf.io.parse_single_example(
            example,
            {
                "x": tf.io.FixedLenFeature([6], tf.float32),
                "y": tf.io.FixedLenFeature([], tf.int64),
            },
        )
        return row["x"], row["y"]

    return tf.data.TFRecordDataset(path).map(parsed).batch(BATCH)


HALF = (LABELS > 0).astype("float32")
# What builds a model, and what it is trained on.
PROGRAMS = {
    "gan": (gan, (X, None)),
    "gan_with_gradient_penalty": (lambda: gan(10.0), (X, None)),
    "variational_autoencoder": (vae, (X, None)),
    "diffusion_with_average": (diffusion, (X, None)),
    "simsiam": (simsiam, (X, None)),
    "two_encoders": (clip, ([X, WORDS], None)),
    "momentum_contrast": (moco, (X, None)),
    "distillation": (distilled, (X, LABELS)),
    "graph_attention": (graph_attention, (np.arange(48), LABELS)),
    "siamese": (siamese, ([X, X[::-1]], HALF)),
    "seq2seq": (seq2seq, ([WORDS, WORDS], WORDS)),
    "vision_transformer": (vision_transformer, (IMAGES, LABELS)),
    "records": (classifier, None),
}
DEFAULT = "gan_with_gradient_penalty"


def trained(build, data, eagerly, monitors=()):
    keras.utils.clear_session(free_memory=False)
    keras.utils.set_random_seed(1)
    model = build()
    model.run_eagerly = eagerly
    of_records = isinstance(data[0], tf.data.Dataset)
    options = {} if of_records else {"batch_size": BATCH}
    model.fit(
        *data,
        epochs=2,
        shuffle=False,
        verbose=0,
        callbacks=list(monitors),
        **options,
    )
    optimizers = [
        one
        for one in vars(model).values()
        if isinstance(one, keras.optimizers.Optimizer)
    ]
    variables = [*model.variables, *(v for one in optimizers for v in one.variables)]
    return model, [np.asarray(one).tobytes() for one in variables]


@pytest.mark.filterwarnings("ignore:Your input ran out of data")
@pytest.mark.parametrize("eagerly", [False, pytest.param(True, marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=() if name == DEFAULT else pytest.mark.slow)
        for name in PROGRAMS
    ],
)
def test_a_published_program_ends_at_the_same_bits(name, eagerly, request):
    build, data = PROGRAMS[name]
    data = data or (request.getfixturevalue("records"),)
    monitor = kik.SignalMonitor(None, every=2, rules=None)
    _, bare = trained(build, data, eagerly)
    model, watched = trained(build, data, eagerly, [monitor])
    assert watched == bare
    assert not monitor.guard.failed
    for signal in SIGNALS:
        assert monitor.record.signal(signal) is not None, signal
    record = monitor.record
    owners = {key.layer for key in record.signal("weight").tensors}
    owners |= {layer for layer, _ in record.metadata["untapped"]}
    trainable = {one.path.split("/")[-2] for one in model.trainable_variables}
    assert trainable <= {owner.split("/")[-1] for owner in owners}
