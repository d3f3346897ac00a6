"""The catalogue: what each initializer is, where it comes from, when to use it."""

import dataclasses
import functools
import inspect

import keras

from keras_initkit.initializers import variance

KIT_CLASSES = (variance.FanInUniform,)

# Names that lessons and tutorials use, for what they really are there.
ALIASES = {
    "zero": keras.initializers.Zeros,
    "random": functools.partial(
        keras.initializers.RandomUniform, minval=-1.0, maxval=1.0
    ),
    "xavier": functools.partial(variance.FanInUniform, scale=1.0),
    "he": functools.partial(variance.FanInUniform, scale=2.0),
}


@dataclasses.dataclass(frozen=True)
class Entry:
    """One initializer of the catalogue.

    Attributes:
        name: String identifier, for `get` and for `kernel_initializer=`.
        cls: The `keras.Initializer` subclass.
        family: `"constant"`, `"random"`, `"variance"`, `"orthogonal"`,
            `"structured"`, `"bias"`, `"scaling"` or `"alias"`.
        parameters: Constructor parameters with defaults, such as `"scale=1.0"`.
        formula: The distribution or construction in one line.
        reference: Paper or source, with its address.
        good_for: When to use it.
        bad_for: When not to.
    """

    name: str
    cls: type
    family: str
    parameters: tuple[str, ...]
    formula: str
    reference: str
    good_for: str
    bad_for: str


def catalog():
    """Returns every initializer by name: Keras's own, the kit's and the aliases.

    Returns:
        List of `Entry`, ordered by family, then name.

    Example:
    >>> import keras_initkit as kik
    >>> [e.family for e in kik.initializers.catalog() if e.name == "he_normal"]
    ['variance']
    """
    entries = [
        Entry(
            name=row[0],
            cls=row[1],
            parameters=_parameters(row[1]),
            **dict(zip(_TEXTS, row[2:], strict=True)),
        )
        for row in _ROWS
    ]
    order = list(dict.fromkeys(entry.family for entry in entries))
    return sorted(entries, key=lambda entry: (order.index(entry.family), entry.name))


def _parameters(cls):
    signature = inspect.signature(cls.__init__)
    return tuple(
        str(p).split(":")[0] for p in signature.parameters.values() if p.name != "self"
    )


_TEXTS = ("family", "formula", "reference", "good_for", "bad_for")

_GLOROT = "Glorot & Bengio 2010, https://proceedings.mlr.press/v9/glorot10a.html"
_HE = "He et al. 2015, https://arxiv.org/abs/1502.01852"
_LECUN = "LeCun et al. 1998, Efficient BackProp; Klambauer et al. 2017, https://arxiv.org/abs/1706.02515"
_SAXE = "Saxe et al. 2013, https://arxiv.org/abs/1312.6120"
_KERAS = "Keras, https://keras.io/api/layers/initializers/"
_DECK = "the lesson of this name in introductory slides; not the paper's rule"

k = keras.initializers
# name, class, family, formula, reference, good for, bad for
_ROWS = (
    ("zeros", k.Zeros, "constant", "0", _KERAS,
     "biases; the last layer of a residual branch",
     "hidden kernels: all units of a layer stay copies of each other"),
    ("ones", k.Ones, "constant", "1", _KERAS, "scales of normalization layers",
     "kernels: identical units"),
    ("constant", k.Constant, "constant", "value", _KERAS, "biases with a known start",
     "kernels: identical units"),
    ("identity", k.Identity, "constant", "gain * I (rank 2)", _KERAS,
     "recurrent kernels with ReLU (IRNN); linear residual maps",
     "convolutions: raises above rank 2, see dirac"),
    ("stft", k.STFT, "constant", "Fourier basis times a window", _KERAS,
     "spectrogram convolutions", "anything to be trained from scratch"),
    ("random_normal", k.RandomNormal, "random", "N(mean, stddev²)", _KERAS,
     "embeddings; reproducing old code",
     "deep nets: the scale ignores the fans, 0.05 fits one width only"),
    ("random_uniform", k.RandomUniform, "random", "U(minval, maxval)", _KERAS,
     "embeddings; reproducing old code", "deep nets: the scale ignores the fans"),
    ("truncated_normal", k.TruncatedNormal, "random",
     "N(mean, stddev²) cut at 2 stddev (its std is 0.87963 stddev)", _KERAS,
     "transformers with stddev=0.02", "deep nets: the scale ignores the fans"),
    ("variance_scaling", k.VarianceScaling, "variance", "Var = scale / fan", _KERAS,
     "any known gain: scale = gain²",
     "depthwise, transposed, grouped and fused kernels, see for_layer"),
    ("glorot_normal", k.GlorotNormal, "variance", "Var = 2 / (fan_in + fan_out)",
     _GLOROT, "tanh, softsign and linear layers", "deep ReLU nets: halves the signal"),
    ("glorot_uniform", k.GlorotUniform, "variance",
     "U(±√(6 / (fan_in + fan_out)))", _GLOROT,
     "tanh, softsign and linear layers (Keras's default)",
     "deep ReLU nets: halves the signal"),
    ("he_normal", k.HeNormal, "variance", "Var = 2 / fan_in", _HE,
     "ReLU and its leaky kin", "saturating activations; linear heads"),
    ("he_uniform", k.HeUniform, "variance", "U(±√(6 / fan_in))", _HE,
     "ReLU and its leaky kin", "saturating activations; linear heads"),
    ("lecun_normal", k.LecunNormal, "variance", "Var = 1 / fan_in", _LECUN,
     "SELU; linear layers", "deep ReLU nets: halves the signal"),
    ("lecun_uniform", k.LecunUniform, "variance", "U(±√(3 / fan_in))", _LECUN,
     "linear layers", "deep ReLU nets: halves the signal"),
    ("fan_in_uniform", variance.FanInUniform, "variance",
     "U(±√(scale / fan_in)), Var = scale / (3 fan_in)", _GLOROT,
     "reproducing torch's default (scale=1) and tutorials",
     "deep nets: a third of the variance that its nicknames promise"),
    ("orthogonal", k.Orthogonal, "orthogonal",
     "gain * Q of a Gaussian, flattened to (in, out)", _SAXE,
     "recurrent kernels; deep dense nets",
     "convolutions (no isometry as an operator) and fused LSTM or GRU kernels"),
    ("zero", k.Zeros, "alias", "0", _DECK, "showing the zero trap", "training"),
    ("random", k.RandomUniform, "alias", "U(-1, 1)", _DECK,
     "showing saturation and explosion with depth", "training wide layers"),
    ("xavier", variance.FanInUniform, "alias", "U(±√(1 / fan_in))", _DECK,
     "showing what the slides do", "Glorot's rule is glorot_uniform"),
    ("he", variance.FanInUniform, "alias", "U(±√(2 / fan_in))", _DECK,
     "showing what the slides do", "He's rule is he_uniform"),
)  # fmt: skip
del k
