"""The list of reference models, and `build`."""

import inspect
from typing import Any

import keras

from keras_initkit.arguments import check_positive, check_seed, did_you_mean, naming
from keras_initkit.initializers import get
from keras_initkit.models import _cnn, _mlp, _recurrent
from keras_initkit.models._layers import LayerFactory
from keras_initkit.models._spec import ModelSpec

SPECS = {
    spec.name: spec
    for spec in (
        ModelSpec(
            name="cifar10_cnn",
            data="cifar10",
            summary="VGG-like, 6 convolutions and 2 dense layers, no BatchNorm",
            builder=_cnn.cifar10_cnn,
            batch_size=64,
            epochs=6,
        ),
        ModelSpec(
            name="cifar10_mlp",
            data="cifar10",
            summary="3072-64-32-10",
            builder=_mlp.cifar10_mlp,
            epochs=10,
        ),
        ModelSpec(
            name="cifar10_resnet",
            data="cifar10",
            summary="ResNet-20, with or without BatchNorm",
            builder=_cnn.cifar10_resnet,
            epochs=8,
        ),
        ModelSpec(
            name="imdb_lstm",
            data="imdb",
            summary="word vectors, LSTM of 64 units, one logit",
            builder=_recurrent.imdb_lstm,
            activation="tanh",
            loss="two_classes",
            epochs=3,
            recurrent=True,
        ),
        ModelSpec(
            name="imdb_rnn",
            data="imdb",
            summary="word vectors, SimpleRNN of 64 units, one logit",
            builder=_recurrent.imdb_rnn,
            activation="tanh",
            loss="two_classes",
            epochs=3,
            recurrent=True,
        ),
        ModelSpec(
            name="mnist_cnn",
            data="mnist",
            summary="2 convolutions and 2 dense layers",
            builder=_cnn.mnist_cnn,
            epochs=3,
        ),
        ModelSpec(
            name="mnist_mlp",
            data="mnist",
            summary="784-256-128-10, or any depth and width",
            builder=_mlp.mnist_mlp,
            epochs=5,
        ),
        ModelSpec(
            name="xor_mlp",
            data="xor",
            summary="2-4-1 with sigmoids and squared error",
            builder=_mlp.xor_mlp,
            activation="sigmoid",
            loss="squared_error",
            learning_rate=0.05,
            batch_size=4,
            epochs=200,
        ),
    )
}
NAMES = tuple(sorted(SPECS))
# The model that the name of a data set alone stands for.
_DEFAULTS = {
    "cifar10": "cifar10_cnn",
    "imdb": "imdb_lstm",
    "mnist": "mnist_mlp",
    "xor": "xor_mlp",
}


def spec_of(name: str) -> ModelSpec:
    """Returns the spec of a reference model.

    Args:
        name: One of `NAMES`.

    Returns:
        The `ModelSpec`: data set, batch size, epochs, options.

    Raises:
        ValueError: If there is no such model.
    """
    if not isinstance(name, str) or name not in SPECS:
        raise ValueError(
            f"`name` must be one of {NAMES}. Received: name={name!r}."
            + did_you_mean(name, NAMES)
        )
    return SPECS[name]


def options_of(name: str) -> tuple[str, ...]:
    """Returns the arguments of `build` that a model takes, besides its weights' own.

    Example:
    >>> "depth" in options_of("mnist_mlp"), "depth" in options_of("mnist_cnn")
    (True, False)
    """
    spec = spec_of(name)
    parameters = inspect.signature(build).parameters.values()
    of_all = [one.name for one in parameters if one.kind is one.KEYWORD_ONLY]
    if not spec.recurrent:
        of_all.remove("recurrent_initializer")
    return (*spec.options, *(one for one in of_all if one != "seed"))


def default_for(data: str) -> ModelSpec:
    """Returns the spec of the model that a data set is trained with by default.

    Args:
        data: One of `"cifar10"`, `"imdb"`, `"mnist"`, `"xor"`.

    Returns:
        The `ModelSpec`.

    Raises:
        ValueError: If there is no such data set.

    Example:
    >>> default_for("imdb").name
    'imdb_lstm'
    """
    if not isinstance(data, str) or data not in _DEFAULTS:
        raise ValueError(
            f"`data` must be one of {tuple(sorted(_DEFAULTS))}. "
            f"Received: data={data!r}."
        )
    return SPECS[_DEFAULTS[data]]


def build(
    name: str,
    initializer: Any = "glorot_uniform",
    *,
    bias_initializer: Any = "zeros",
    recurrent_initializer: Any = None,
    activation: Any = None,
    seed: int | None = None,
    optimizer: Any = None,
    learning_rate: float | None = None,
    **options: Any,
) -> keras.Model:
    """Builds and compiles a reference model.

    Every weight gets a new initializer instance. With a `seed` each gets its own seed,
    derived from `seed` and the names of layer and weight: the same weights in every
    process, and no two layers alike. Layer names do not depend on what was built
    before.

    Args:
        name: One of `NAMES`.
        initializer: For the kernel of every dense, convolutional and recurrent
            layer: anything that `initializers.get` takes. Word vectors keep their own,
            see `embeddings_initializer` among the options.
        bias_initializer: For every bias. Defaults to `"zeros"`.
        recurrent_initializer: For the recurrent kernels of `imdb_rnn` and
            `imdb_lstm`. Defaults to `"orthogonal"`.
        activation: Of the hidden layers: any Keras activation. Defaults to the
            model's own (ReLU, or tanh and sigmoid where usual).
        seed: Integer, or `None` for different weights at every call. It seeds the
            weights only: shuffling follows `keras.utils.set_random_seed`.
        optimizer: Keras optimizer or its name. Defaults to Adam.
        learning_rate: Positive float. Defaults to the model's own.
        **options: `depth` and `width` of `mnist_mlp` and `cifar10_mlp`;
            `batch_norm` and `blocks` (of each stage, 3 make a ResNet-20) of
            `cifar10_resnet`; `vocabulary`, `maxlen` and `embeddings_initializer` of
            `imdb_rnn` and `imdb_lstm`.

    Returns:
        A compiled Functional model. It ends in logits (one per class; one for two
        classes), `xor_mlp` in a sigmoid unit. Its metric is called `accuracy`.

    Raises:
        ValueError: If a name, option or value is unknown or out of range.

    Example:
    >>> model = build("mnist_mlp", initializer="he_normal", depth=3, width=64, seed=0)
    >>> [layer.path for layer in model.layers if layer.weights]
    ['hidden_1', 'hidden_2', 'hidden_3', 'logits']
    """
    spec = spec_of(name)
    _check(spec, recurrent_initializer, seed, learning_rate, options)
    _check_named(initializer, bias_initializer, recurrent_initializer, activation)
    layers = LayerFactory(
        initializer,
        bias_initializer,
        "orthogonal" if recurrent_initializer is None else recurrent_initializer,
        spec.activation if activation is None else activation,
        seed,
    )
    try:
        model = spec.builder(layers, **options)
    except (TypeError, ValueError) as error:
        if any(f"`{option}`" in str(error) for option in options):
            raise
        raise ValueError(
            "`initializer`, `bias_initializer` and `recurrent_initializer` must return "
            f"values of the shapes that the layers request. Received: {initializer!r}, "
            f"{bias_initializer!r} and {recurrent_initializer!r} ({error})"
        ) from error
    with naming("optimizer", optimizer, "be a Keras optimizer or name one"):
        spec.compile(model, optimizer, learning_rate)
    return model


def _check_named(initializer, bias_initializer, recurrent_initializer, activation):
    """Raises a ValueError that names the argument whose identifier is unknown."""
    initializers = {
        "initializer": initializer,
        "bias_initializer": bias_initializer,
        "recurrent_initializer": recurrent_initializer,
    }
    for name, value in initializers.items():
        with naming(name, value, "be what `initializers.get` takes"):
            get(value)
    with naming("activation", activation, "be a Keras activation or name one"):
        keras.activations.get(activation)


def _check(spec, recurrent_initializer, seed, learning_rate, options):
    for option in options:
        if option not in spec.options:
            choices = tuple(sorted(spec.options))
            use = f"Its options are {choices}." if choices else "It has no options."
            raise ValueError(
                f"`{option}` is not an option of {spec.name!r}. {use} Received: "
                f"{option}={options[option]!r}."
            )
    if recurrent_initializer is not None and not spec.recurrent:
        recurrent = tuple(name for name in NAMES if SPECS[name].recurrent)
        raise ValueError(
            f"`recurrent_initializer` is for {recurrent}; {spec.name!r} has no "
            f"recurrent kernel. Received: {recurrent_initializer!r}."
        )
    check_seed("seed", seed)
    if learning_rate is not None:
        check_positive("learning_rate", learning_rate)
