"""The catalogue: what each initializer is, where it comes from, when to use it."""

import dataclasses
import inspect
from typing import Any

import keras

from keras_initkit.initializers import (
    attention,
    bias,
    blockwise,
    identity,
    orthogonal,
    ported,
    scaling,
    structured,
    variance,
    zero_sum,
)
from keras_initkit.initializers._registry import ALIASES


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
    cls: type[Any]
    family: str
    parameters: tuple[str, ...]
    formula: str
    reference: str
    good_for: str
    bad_for: str


def catalog() -> list[Entry]:
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
            parameters=_parameters(row[0], row[1]),
            **dict(zip(_TEXTS, row[2:], strict=True)),
        )
        for row in _ROWS
    ]
    order = list(dict.fromkeys(entry.family for entry in entries))
    return sorted(entries, key=lambda entry: (order.index(entry.family), entry.name))


def _parameters(name, cls):
    if name in ALIASES:
        return tuple(f"{key}={value!r}" for key, value in ALIASES[name][1].items())
    parameters = inspect.signature(cls.__init__).parameters.values()
    named = inspect.Parameter.POSITIONAL_OR_KEYWORD
    return tuple(
        str(p.replace(annotation=p.empty))
        for p in parameters
        if p.kind == named and p.name != "self"
    )


_TEXTS = ("family", "formula", "reference", "good_for", "bad_for")

_GLOROT = "Glorot & Bengio 2010, https://proceedings.mlr.press/v9/glorot10a.html"
_HE = "He et al. 2015, https://arxiv.org/abs/1502.01852"
_LECUN = "LeCun et al. 1998, Efficient BackProp; Klambauer et al. 2017, https://arxiv.org/abs/1706.02515"
_SAXE = "Saxe et al. 2013, https://arxiv.org/abs/1312.6120"
_KERAS = "Keras, https://keras.io/api/layers/initializers/"
_DECK = "an introductory slide deck; not the paper's rule"

_TORCH = "torch.nn.init, https://pytorch.org/docs/stable/nn.init.html"
_JAX = "jax.nn.initializers, https://docs.jax.dev/en/latest/jax.nn.initializers.html"

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
     "deep nets: the scale ignores the fans, 0.05 fits only one width"),
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
     "ReLU and its leaky variants", "saturating activations; linear heads"),
    ("he_uniform", k.HeUniform, "variance", "U(±√(6 / fan_in))", _HE,
     "ReLU and its leaky variants", "saturating activations; linear heads"),
    ("lecun_normal", k.LecunNormal, "variance", "Var = 1 / fan_in", _LECUN,
     "SELU; linear layers", "deep ReLU nets: halves the signal"),
    ("lecun_uniform", k.LecunUniform, "variance", "U(±√(3 / fan_in))", _LECUN,
     "linear layers", "deep ReLU nets: halves the signal"),
    ("fan_in_uniform", variance.FanInUniform, "variance",
     "U(±√(scale / fan_in)), Var = scale / (3 fan_in)", _GLOROT,
     "reproducing torch's default (scale=1) and tutorials",
     "deep nets: a third of the variance that its nicknames promise"),
    ("kaiming_normal", ported.KaimingNormal, "variance",
     "N(0, gain² / fan), gain² = 2 / (1 + a²) for leaky_relu", _TORCH,
     "porting torch's kaiming_normal_",
     "new code: he_normal and activation_scaling are cut at 2 std"),
    ("kaiming_uniform", ported.KaimingUniform, "variance",
     "U(±gain √(3 / fan)), gain² = 2 / (1 + a²) for leaky_relu", _TORCH,
     "porting torch's kaiming_uniform_; a=√5 is torch's default",
     "deep nets at a=√5: a third of the variance that keeps the signal"),
    ("xavier_normal", ported.XavierNormal, "variance",
     "N(0, 2 gain² / (fan_in + fan_out))", _TORCH, "porting torch's xavier_normal_",
     "deep ReLU nets at gain=1: halves the signal"),
    ("xavier_uniform", ported.XavierUniform, "variance",
     "U(±gain √(6 / (fan_in + fan_out)))", _TORCH, "porting torch's xavier_uniform_",
     "deep ReLU nets at gain=1: halves the signal"),
    ("axis_variance_scaling", ported.AxisVarianceScaling, "variance",
     "Var = scale / fan over in_axis, out_axis", _JAX,
     "porting jax's variance_scaling with its axes",
     "layers of Keras, whose axes for_layer knows"),
    ("trunc_normal", ported.TruncNormal, "random",
     "N(mean, std²) cut at a and b, values or standard deviations", _TORCH,
     "porting trunc_normal_ of torch and timm, and timm's trunc_normal_tf_",
     "deep nets: the scale ignores the fans"),
    ("orthogonal", k.Orthogonal, "orthogonal",
     "gain * Q of a Gaussian, flattened to (in, out)", _SAXE,
     "recurrent kernels; deep dense nets",
     "convolutions (no isometry as an operator) and fused LSTM or GRU kernels"),
    ("activation_scaling", variance.ActivationScaling, "variance",
     "Var = gain(activation)² / fan", _HE,
     "any activation, including custom ones, at the gain it needs",
     "weights in front of a normalization layer, which undoes any scale"),
    ("delta_orthogonal", orthogonal.DeltaOrthogonal, "orthogonal",
     "gain * orthogonal (in, out) at the centre tap, 0 elsewhere",
     "Xiao et al. 2018, https://arxiv.org/abs/1806.05393",
     "very deep convolutional nets: an exact isometry with padding='same'",
     "shallow nets; in > out has no isometry"),
    ("convolution_orthogonal", orthogonal.ConvolutionOrthogonal, "orthogonal",
     "orthogonal (in, out) times two-tap factors [P, I - P] along each axis",
     "Xiao et al. 2018, https://arxiv.org/abs/1806.05393",
     "an isometry (circular padding) that uses every tap",
     "in > out (raises); zero padding loses what crosses the border"),
    ("gate_orthogonal", orthogonal.GateOrthogonal, "orthogonal",
     "gain * orthogonal (in, units) for each gate", _SAXE,
     "recurrent kernels of LSTM, GRU and ConvLSTM; packed query-key-value",
     "Dense kernels without gates= (neither shape nor layer reveals them)"),
    ("dirac", identity.Dirac, "orthogonal", "gain * I at the centre tap",
     "Zagoruyko & Komodakis 2017, https://arxiv.org/abs/1706.00388",
     "layers to be inserted without changing anything; plain nets with shortcuts",
     "plain stacks: channels are copies until data breaks the tie"),
    ("recurrent_identity", identity.RecurrentIdentity, "orthogonal",
     "gain * I for each gate", "Le et al. 2015, https://arxiv.org/abs/1504.00941",
     "SimpleRNN with ReLU on long sequences (IRNN)",
     "saturating recurrences; large input weights"),
    ("zero_hadamard", identity.ZerO, "structured",
     "partial identity (out <= in), else c I* H I*, H Hadamard",
     "Zhao et al. 2022, https://arxiv.org/abs/2110.12661",
     "residual nets without randomness", "plain nets without shortcuts"),
    ("sparse_normal", structured.SparseNormal, "structured",
     "`connections` inputs a unit from N(0, stddev²), 0 elsewhere",
     "Martens 2010, https://icml.cc/Conferences/2010/papers/458.pdf",
     "wide shallow nets, reservoirs, second-order training",
     "deep nets at the default stddev"),
    ("sparse", ported.Sparse, "structured",
     "ceil(sparsity * out) zeros for each input, else N(0, std²)", _TORCH,
     "porting torch's sparse_", "units with the same number of inputs: sparse_normal"),
    ("icnr", structured.ICNR, "structured",
     "one kernel, repeated for all scale^d sub-pixels",
     "Aitken et al. 2017, https://arxiv.org/abs/1707.02937",
     "convolutions in front of depth-to-space or pixel shuffle",
     "anything else: equal channels"),
    ("siren", structured.Siren, "structured",
     "U(±1/n) first, else U(±√(6/n)/w0)",
     "Sitzmann et al. 2020, https://arxiv.org/abs/2006.09661",
     "sine activations, sin(w0 (W x + b))", "every other activation"),
    ("mimetic_attention", attention.MimeticAttention, "structured",
     "factors of alpha Z + beta I, by SVD, for query-key and value-output",
     "Trockman & Kolter 2023, https://arxiv.org/abs/2305.09828",
     "small transformers, little data",
     "factors with different seeds: only the product is meaningful"),
    ("chrono_bias", bias.ChronoBias, "bias",
     "b_f = log U(1, max_steps - 1), b_i = -b_f",
     "Tallec & Ollivier 2018, https://arxiv.org/abs/1804.11188",
     "LSTM and GRU with lags up to a known length",
     "LSTM with unit_forget_bias=True, which requests parts of the bias (refused)"),
    ("unit_forget_bias", bias.UnitForgetBias, "bias",
     "value for the gate that keeps, 0 elsewhere",
     "Jozefowicz et al. 2015, https://proceedings.mlr.press/v37/jozefowicz15.html",
     "LSTM and GRU whose gates should start open",
     "LSTM with unit_forget_bias=True, which requests parts of the bias (refused)"),
    ("fan_in_uniform_bias", ported.FanInUniformBias, "bias",
     "U(±√(1 / fan_in)) of the layer's kernel", _TORCH,
     "porting the biases of torch's Linear and Conv",
     "new code: zeros; recurrent and transposed layers (refused)"),
    ("prior_bias", bias.PriorBias, "bias",
     "log p (softmax) or log(p / (1 - p)) (sigmoid)",
     "Lin et al. 2017, https://arxiv.org/abs/1708.02002",
     "output biases with imbalanced classes", "hidden layers"),
    ("depth_scaled", scaling.DepthScaled, "scaling",
     "base * factor(rule, depth): Fixup, GPT-2, DeepNorm, T-Fixup",
     "Zhang et al. 2019, https://arxiv.org/abs/1901.09321",
     "residual branches in deep nets without normalization",
     "plain nets: nothing adds up there"),
    ("mup_readout", scaling.MuPReadout, "scaling",
     "base * √(base_fan_in / fan_in)",
     "Yang et al. 2022, https://arxiv.org/abs/2203.03466",
     "output layers, to transfer hyperparameters across widths",
     "use without μP's learning rates"),
    ("blockwise", blockwise.Blockwise, "scaling",
     "base for each matrix that the kernel holds", _SAXE,
     "structural initializers on grouped, depthwise, transposed, gate and einsum "
     "kernels, through for_layer",
     "use by hand with the wrong rule"),
    ("fan_corrected", scaling.FanCorrected, "scaling",
     "base * √(fan read from the shape / true fan)", _HE,
     "depthwise, transposed, grouped and fused kernels, through for_layer",
     "use by hand with the wrong rule"),
    ("zero_sum", zero_sum.ZeroSum, "scaling",
     "base - mean of base over each unit's inputs",
     "Schoenholz et al. 2017, https://arxiv.org/abs/1611.01232",
     "deep sigmoid nets, as ZeroSum(Orthogonal(gain=4)): a tanh net in disguise",
     "ReLU nets, whose mean carries part of the signal"),
    ("zero", k.Zeros, "alias", "0", _DECK, "demonstrating the zero trap", "training"),
    ("random", k.RandomUniform, "alias", "U(-1, 1)", _DECK,
     "demonstrating saturation and explosion with depth", "training wide layers"),
    ("xavier", k.GlorotUniform, "alias", "U(±√(6 / (fan_in + fan_out)))", _GLOROT,
     "what glorot_uniform is", "deep ReLU nets: halves the signal"),
    ("he", k.HeNormal, "alias", "Var = 2 / fan_in", _HE,
     "what he_normal is", "saturating activations; linear heads"),
    ("slide_xavier", variance.FanInUniform, "alias", "U(±√(1 / fan_in))", _DECK,
     "demonstrating what the slides call Xavier", "Glorot's rule is glorot_uniform"),
    ("slide_he", variance.FanInUniform, "alias", "U(±√(2 / fan_in))", _DECK,
     "demonstrating what the slides call He", "He's rule is he_normal"),
)  # fmt: skip
del k
