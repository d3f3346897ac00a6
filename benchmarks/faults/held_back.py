"""The held-back half: declared as a whole before any rule saw anything of it.

Data, sizes, seeds and strengths that the other set-ups do not have. Whether the healthy
trainings learn was tried beforehand, by bare fits; nothing else was.
"""

import dataclasses
from typing import Any

from benchmarks.faults.faulty import fault
from benchmarks.faults.healthy import healthy
from benchmarks.faults.settings import HALVES, Setting
from benchmarks.faults.trainings import (
    SGD,
    constant,
    hidden,
    kernel_of,
    normal,
    of_cell,
    orthogonal,
)


def identity(gain: float) -> dict[str, Any]:
    """Returns an initializer of the identity, times a factor."""
    return {"class_name": "Identity", "config": {"gain": gain}}


RINGS = Setting(
    "rings", depth=4, width=48, activation="elu", rate=3e-3, steps=250, seed=1
)
DIGITS = Setting("digits", depth=2, width=96, kernel="he_uniform", rate=2e-3, seed=2)
DIGITS_SGD = dataclasses.replace(DIGITS, rate=0.02, seed=3, **SGD)
DIGITS_DEEP = dataclasses.replace(DIGITS_SGD, depth=12, width=48, rate=0.01)
DIGITS_TANH = dataclasses.replace(
    DIGITS, depth=4, width=48, activation="tanh", kernel="glorot_normal", seed=4
)
TUMOURS = Setting(
    "tumours",
    depth=2,
    width=24,
    activation="tanh",
    kernel="glorot_uniform",
    rate=5e-3,
    batch=16,
    steps=150,
    seed=5,
)
WINES = Setting("wines", depth=1, width=16, rate=0.01, batch=16, steps=150, seed=6)
FRIEDMAN = Setting("friedman", width=40, rate=3e-3, seed=7)
FRIEDMAN_SGD = dataclasses.replace(FRIEDMAN, rate=0.02, optimizer="sgd")
DIABETES = Setting("diabetes", depth=2, width=32, rate=3e-3, seed=17)
GELU = Setting(
    "mnist",
    depth=5,
    width=80,
    activation="gelu",
    optimizer="adamw",
    options={"weight_decay": 1e-3},
    seed=8,
)
SELU = Setting(
    "mnist",
    depth=20,
    width=48,
    activation="selu",
    kernel="lecun_normal",
    rate=0.005,
    seed=9,
    **SGD,
)
GRATINGS = Setting("gratings", "cnn", depth=3, width=12, rate=2e-3, seed=10)
GRATINGS_SGD = dataclasses.replace(GRATINGS, rate=0.03, **SGD)
BLOCKS = Setting(
    "gratings", "resnet", depth=3, width=12, normalized=True, rate=5e-3, seed=11
)
TONES = Setting("tones", "rnn", depth=1, width=24, cell="GRU", rate=5e-3, seed=12)
TONES_RELU = dataclasses.replace(
    TONES,
    cell="SimpleRNN",
    rate=2e-3,
    at=of_cell(activation="relu", recurrent_initializer=identity(1.0)),
)
PULSES = Setting("pulses", "rnn", depth=1, width=24, rate=0.01, steps=300, seed=13)
PULSES_RNN = dataclasses.replace(PULSES, cell="SimpleRNN", rate=2e-3)
STACKED = Setting("majority", "rnn", depth=2, width=16, rate=5e-3, seed=14)
MAJORITY = Setting(
    "majority",
    "attention",
    depth=2,
    width=24,
    normalized=True,
    rate=2e-3,
    steps=250,
    seed=15,
)
ATTENTIVE = dataclasses.replace(MAJORITY, data="pulses", depth=1, seed=16)

_MLPS = (
    fault("mlp-rings-constant", "symmetry", RINGS, hidden(4), kernel=constant(0.05)),
    fault("mlp-digits-ones", "symmetry", DIGITS, hidden(2), kernel="ones"),
    fault("mlp-wines-zeros", "symmetry", WINES, hidden(1), kernel="zeros"),
    fault(
        "mlp-digits-normal-3e-4",
        "weights too small",
        DIGITS_SGD,
        (*hidden(2), "logits"),
        kernel=normal(3e-4),
    ),
    fault(
        "mlp-friedman-normal-3e-3",
        "weights too small",
        FRIEDMAN_SGD,
        (*hidden(3), "logits"),
        kernel=normal(3e-3),
    ),
    fault(
        "mlp-digits-normal-2",
        "weights too large",
        DIGITS_SGD,
        (*hidden(2), "logits"),
        kernel=normal(2.0),
    ),
    fault(
        "mlp-mnist-gelu-normal-5",
        "weights too large",
        GELU,
        (*hidden(5), "logits"),
        kernel=normal(5.0),
    ),
    fault(
        "mlp-friedman-normal-20-in-one",
        "weights too large",
        FRIEDMAN,
        ("hidden_1",),
        at=kernel_of("hidden_1", normal(20.0)),
    ),
    fault(
        "mlp-digits-deep-sigmoid",
        "vanishing",
        DIGITS_DEEP,
        hidden(12),
        activation="sigmoid",
        kernel="glorot_normal",
    ),
    fault(
        "mlp-mnist-selu-shrinking",
        "vanishing",
        SELU,
        (*hidden(20), "logits"),
        kernel=orthogonal(0.5),
    ),
    fault(
        "mlp-digits-tanh-normal-5",
        "saturation",
        DIGITS_TANH,
        (*hidden(4), "logits"),
        kernel=normal(5.0),
    ),
    fault(
        "mlp-digits-tanh-bias-15",
        "saturation",
        DIGITS_TANH,
        ("hidden_2",),
        at={"hidden_2": {"bias_initializer": constant(15.0)}},
    ),
    fault(
        "mlp-digits-deep-bias-8", "collapse", DIGITS_DEEP, hidden(12), bias=constant(8)
    ),
    fault("mlp-digits-bias-6", "dead units", DIGITS, hidden(2), bias=constant(-6.0)),
    fault(
        "mlp-friedman-bias-15-in-one",
        "dead units",
        FRIEDMAN,
        ("hidden_2",),
        at={"hidden_2": {"bias_initializer": constant(-15.0)}},
    ),
    fault(
        "mlp-rings-linear", "hidden activation", RINGS, hidden(4), activation="linear"
    ),
    fault(
        "mlp-digits-softmax-inside",
        "hidden activation",
        DIGITS_SGD,
        hidden(2),
        activation="softmax",
    ),
    fault(
        "mlp-tumours-softmax-of-one",
        "loss and output",
        TUMOURS,
        ("logits",),
        last="softmax",
        loss="binary_crossentropy",
    ),
    fault(
        "mlp-digits-logits-as-probabilities",
        "loss and output",
        DIGITS_SGD,
        ("logits",),
        loss="sparse_categorical_crossentropy",
    ),
    fault(
        "mlp-friedman-relu-output",
        "loss and output",
        FRIEDMAN,
        ("logits",),
        last="relu",
    ),
    fault("mlp-rings-adam-0.5", "rate too high", RINGS, rate=0.5),
    fault("mlp-digits-sgd-5", "rate too high", DIGITS_SGD, rate=5.0),
    fault("mlp-friedman-sgd-3", "rate too high", FRIEDMAN_SGD, rate=3.0),
    fault("mlp-mnist-gelu-adamw-0.2", "rate too high", GELU, rate=0.2),
    fault("mlp-digits-adam-3e-7", "rate too low", DIGITS, rate=3e-7),
    fault("mlp-friedman-sgd-1e-6", "rate too low", FRIEDMAN_SGD, rate=1e-6),
    fault(
        "mlp-wines-adagrad-1e-5", "rate too low", WINES, optimizer="adagrad", rate=1e-5
    ),
    fault("mlp-digits-frozen", "nothing trained", DIGITS, frozen=("all",)),
    fault(
        "mlp-digits-inputs-times-2000",
        "input scale",
        DIGITS_SGD,
        damage=(("inputs times", 2000),),
    ),
    fault("mlp-tumours-raw", "input scale", TUMOURS, data="tumours raw"),
    fault(
        "mlp-friedman-inputs-far-off",
        "input scale",
        FRIEDMAN_SGD,
        damage=(("inputs plus", 300),),
    ),
    fault(
        "mlp-friedman-targets-times-5000",
        "target scale",
        FRIEDMAN,
        damage=(("targets times", 5000),),
    ),
    fault(
        "mlp-diabetes-targets-far-off",
        "target scale",
        DIABETES,
        damage=(("targets plus", 800),),
    ),
    fault("mlp-digits-shuffled", "labels", DIGITS, damage=(("targets shuffled",),)),
    fault("mlp-rings-shuffled", "labels", RINGS, damage=(("targets shuffled",),)),
    fault("mlp-wines-classes-from-1", "labels", WINES, damage=(("targets plus", 1),)),
    fault("mlp-rings-nan", "NaN in the data", RINGS, damage=(("inputs NaN", 0.1),)),
    fault(
        "mlp-diabetes-nan-targets",
        "NaN in the data",
        DIABETES,
        damage=(("targets NaN", 0.05),),
    ),
    fault("mlp-digits-l2-5", "regularization", DIGITS, penalty=5.0),
    fault("mlp-rings-dropout-0.95", "regularization", RINGS, dropout=0.95),
    fault(
        "mlp-digits-float16-overflow",
        "float16 overflow",
        dataclasses.replace(DIGITS, policy="mixed_float16"),
        hidden(2),
        damage=(("inputs times", 3e4),),
    ),
)
_CNNS = (
    fault(
        "cnn-gratings-constant",
        "symmetry",
        GRATINGS,
        ("conv_0", "conv_1", "conv_2", "hidden"),
        kernel=constant(0.01),
    ),
    fault(
        "cnn-gratings-normal-3e-4",
        "weights too small",
        GRATINGS_SGD,
        ("conv_0", "conv_1", "conv_2", "hidden", "logits"),
        kernel=normal(3e-4),
    ),
    fault(
        "cnn-gratings-normal-2",
        "weights too large",
        GRATINGS_SGD,
        ("conv_0", "conv_1", "conv_2", "hidden", "logits"),
        kernel=normal(2.0),
    ),
    fault(
        "cnn-gratings-bias-15",
        "dead units",
        GRATINGS,
        ("conv_0",),
        at={"conv_0": {"bias_initializer": constant(-15.0)}},
    ),
    fault("cnn-gratings-adam-0.2", "rate too high", GRATINGS, rate=0.2),
    fault("cnn-gratings-sgd-1e-6", "rate too low", GRATINGS_SGD, rate=1e-6),
    fault("cnn-gratings-shuffled", "labels", GRATINGS, damage=(("targets shuffled",),)),
    fault(
        "cnn-gratings-inputs-faint",
        "input scale",
        GRATINGS_SGD,
        damage=(("inputs times", 1e-3),),
    ),
    fault("cnn-gratings-l2-20", "regularization", GRATINGS, penalty=20.0),
    fault("resnet-gratings-adam-5", "rate too high", BLOCKS, rate=5.0),
    fault(
        "resnet-gratings-shuffled", "labels", BLOCKS, damage=(("targets shuffled",),)
    ),
)
_SEQUENCES = (
    fault(
        "rnn-tones-relu-recurrent-2",
        "exploding in time",
        TONES_RELU,
        ("rnn_0",),
        at=of_cell(activation="relu", recurrent_initializer=identity(2.0)),
    ),
    fault(
        "rnn-pulses-recurrent-0.2",
        "vanishing in time",
        PULSES_RNN,
        ("rnn_0",),
        at=of_cell(recurrent_initializer=orthogonal(0.2)),
    ),
    fault(
        "rnn-pulses-lstm-forgets",
        "vanishing in time",
        PULSES,
        ("rnn_0",),
        at=of_cell(unit_forget_bias=False, bias_initializer=constant(-4.0)),
    ),
    fault("rnn-tones-gru-adam-0.7", "rate too high", TONES, rate=0.7),
    fault("rnn-tones-gru-adam-1e-6", "rate too low", TONES, rate=1e-6),
    fault("rnn-tones-nan", "NaN in the data", TONES, damage=(("inputs NaN", 0.05),)),
    fault("rnn-majority-adam-1e-6", "rate too low", STACKED, rate=1e-6),
    fault("attention-majority-adam-0.5", "rate too high", MAJORITY, rate=0.5),
    fault("attention-majority-sgd-1e-5", "rate too low", MAJORITY, rate=1e-5, **SGD),
    fault(
        "attention-pulses-shuffled",
        "labels",
        ATTENTIVE,
        damage=(("targets shuffled",),),
    ),
    fault(
        "attention-pulses-inputs-times-300",
        "input scale",
        dataclasses.replace(ATTENTIVE, normalized=False),
        damage=(("inputs times", 300),),
    ),
)

_HEALTHY = (
    healthy("mlp-rings-elu", RINGS),
    healthy("mlp-digits-adam", DIGITS),
    healthy(
        "mlp-digits-nesterov", DIGITS_SGD, options={"momentum": 0.9, "nesterov": True}
    ),
    healthy("mlp-digits-deep", DIGITS_DEEP),
    healthy("mlp-digits-tanh", DIGITS_TANH),
    healthy("mlp-digits-nadam", DIGITS, optimizer="nadam"),
    healthy("mlp-digits-lion", DIGITS, optimizer="lion", rate=3e-4),
    healthy("mlp-digits-leaky-dropout", DIGITS, activation="leaky_relu", dropout=0.3),
    healthy("mlp-digits-silu-normalized", DIGITS, activation="silu", normalized=True),
    healthy("mlp-digits-l2", DIGITS, penalty=1e-3),
    healthy("mlp-digits-float16", DIGITS, policy="mixed_float16"),
    healthy("mlp-digits-half-frozen", DIGITS, frozen=("hidden_1",)),
    healthy("mlp-tumours-tanh", TUMOURS),
    healthy(
        "mlp-tumours-sigmoid-output",
        TUMOURS,
        last="sigmoid",
        loss="binary_crossentropy",
    ),
    healthy("mlp-wines-adam", WINES),
    healthy("mlp-diabetes-adam", DIABETES),
    healthy("mlp-friedman-adam", FRIEDMAN),
    healthy("mlp-friedman-huber", FRIEDMAN, loss="huber"),
    healthy("mlp-friedman-sgd", FRIEDMAN_SGD),
    healthy("mlp-mnist-gelu-adamw", GELU),
    healthy("mlp-mnist-selu-deep", SELU),
    healthy("cnn-gratings-adam", GRATINGS),
    healthy("cnn-gratings-sgd", GRATINGS_SGD),
    healthy("cnn-gratings-normalized", GRATINGS, normalized=True),
    healthy("resnet-gratings-adam", BLOCKS),
    healthy("resnet-gratings-plain", BLOCKS, normalized=False, rate=2e-3),
    healthy("rnn-tones-gru", TONES),
    healthy("rnn-tones-relu", TONES_RELU),
    healthy("rnn-pulses-lstm", PULSES),
    healthy("rnn-majority-stacked", STACKED),
    healthy("attention-majority-adam", MAJORITY),
    healthy("attention-pulses-adam", ATTENTIVE),
)


def _held_back(setups):
    return tuple(dataclasses.replace(one, half=HALVES[1]) for one in setups)


FAULTY = _held_back(_MLPS + _CNNS + _SEQUENCES)
HEALTHY = _held_back(_HEALTHY)
