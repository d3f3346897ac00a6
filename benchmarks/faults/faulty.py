"""The faulty set-ups: a healthy training, one thing of which is changed."""

import dataclasses
from typing import Any

from benchmarks.faults.settings import Setting, SetUp
from benchmarks.faults.trainings import (
    ATTENTION,
    ATTENTION_IMDB,
    CIFAR,
    CLUSTERS,
    CNN,
    CNN_SGD,
    DEEP,
    DEEP_TANH,
    GRU,
    LSTM,
    MEMORY,
    MEMORY_RNN,
    MLP,
    MLP_SGD,
    RESNET,
    RNN,
    SGD,
    SPIRALS,
    TANH,
    WAVES,
    constant,
    hidden,
    kernel_of,
    normal,
    of_cell,
    orthogonal,
)


def fault(
    name: str, kind: str, twin: Setting, layers: tuple[str, ...] = (), **change: Any
) -> SetUp:
    """Returns a set-up that differs from its twin by one change, in these layers."""
    return SetUp(name, dataclasses.replace(twin, **change), kind, twin, layers)


MLPS = (
    fault("mlp-mnist-zeros", "symmetry", MLP, hidden(3), kernel="zeros"),
    fault("mlp-mnist-constant", "symmetry", MLP, hidden(3), kernel=constant(0.02)),
    fault(
        "mlp-mnist-zeros-in-one",
        "symmetry",
        MLP,
        ("hidden_1",),
        at=kernel_of("hidden_1", "zeros"),
    ),
    fault("mlp-spirals-constant", "symmetry", SPIRALS, hidden(3), kernel=constant(0.1)),
    fault("mlp-waves-zeros", "symmetry", WAVES, hidden(3), kernel="zeros"),
    *(
        fault(
            f"mlp-mnist-normal-{std:g}",
            "weights too small",
            MLP_SGD,
            (*hidden(3), "logits"),
            kernel=normal(std),
        )
        for std in (1e-3, 1e-2)
    ),
    fault(
        "mlp-mnist-normal-0.0001-in-one",
        "weights too small",
        MLP_SGD,
        ("hidden_1",),
        at=kernel_of("hidden_1", normal(1e-4)),
    ),
    *(
        fault(
            f"mlp-mnist-normal-{std:g}",
            "weights too large",
            MLP_SGD,
            (*hidden(3), "logits"),
            kernel=normal(std),
        )
        for std in (1.0, 3.0)
    ),
    fault(
        "mlp-clusters-normal-10-in-one",
        "weights too large",
        CLUSTERS,
        ("hidden_1",),
        at=kernel_of("hidden_1", normal(10.0)),
    ),
    fault(
        "mlp-mnist-deep-glorot",
        "vanishing",
        DEEP,
        (*hidden(16), "logits"),
        kernel="glorot_uniform",
    ),
    *(
        fault(
            f"mlp-mnist-deep-sigmoid-{depth}",
            "vanishing",
            dataclasses.replace(DEEP, depth=depth),
            hidden(depth),
            activation="sigmoid",
            kernel="glorot_uniform",
        )
        for depth in (8, 16)
    ),
    fault(
        "mlp-mnist-deep-tanh-small",
        "vanishing",
        DEEP_TANH,
        (*hidden(16), "logits"),
        kernel=orthogonal(0.7),
    ),
    fault(
        "mlp-mnist-tanh-normal-2",
        "saturation",
        TANH,
        (*hidden(3), "logits"),
        kernel=normal(2.0),
    ),
    fault(
        "mlp-clusters-sigmoid-bias-12",
        "saturation",
        dataclasses.replace(CLUSTERS, activation="sigmoid", kernel="glorot_uniform"),
        ("hidden_1",),
        at={"hidden_1": {"bias_initializer": constant(12.0)}},
    ),
    fault("mlp-mnist-deep-bias-5", "collapse", DEEP, hidden(16), bias=constant(5.0)),
    *(
        fault(
            f"mlp-mnist-bias{bias:g}",
            "dead units",
            MLP,
            hidden(3),
            bias=constant(bias),
        )
        for bias in (-3.0, -10.0)
    ),
    fault(
        "mlp-clusters-bias-30-in-one",
        "dead units",
        CLUSTERS,
        ("hidden_1",),
        at={"hidden_1": {"bias_initializer": constant(-30.0)}},
    ),
    fault(
        "mlp-spirals-linear",
        "hidden activation",
        SPIRALS,
        hidden(3),
        activation="linear",
    ),
    fault(
        "mlp-mnist-softmax-inside",
        "hidden activation",
        MLP_SGD,
        hidden(3),
        activation="softmax",
    ),
    fault(
        "mlp-spirals-softmax-in-one",
        "hidden activation",
        SPIRALS,
        ("hidden_1",),
        at={"hidden_1": {"activation": "softmax"}},
    ),
    fault(
        "mlp-spirals-softmax-of-one",
        "loss and output",
        SPIRALS,
        ("logits",),
        last="softmax",
        loss="binary_crossentropy",
    ),
    fault(
        "mlp-mnist-logits-as-probabilities",
        "loss and output",
        MLP,
        ("logits",),
        loss="sparse_categorical_crossentropy",
    ),
    fault(
        "mlp-mnist-relu-logits", "loss and output", MLP_SGD, ("logits",), last="relu"
    ),
    fault("mlp-mnist-adam-0.1", "rate too high", MLP, rate=0.1),
    fault("mlp-mnist-adam-1", "rate too high", MLP, rate=1.0),
    fault("mlp-mnist-sgd-2", "rate too high", MLP_SGD, rate=2.0),
    fault("mlp-waves-sgd-1", "rate too high", WAVES, rate=1.0, **SGD),
    fault("mlp-mnist-adam-1e-6", "rate too low", MLP, rate=1e-6),
    fault("mlp-mnist-sgd-1e-5", "rate too low", MLP_SGD, rate=1e-5),
    fault("mlp-mnist-adadelta-default", "rate too low", MLP, optimizer="adadelta"),
    fault(
        "mlp-mnist-clipped-to-nothing",
        "rate too low",
        MLP_SGD,
        options={"momentum": 0.9, "global_clipnorm": 1e-4},
    ),
    fault("mlp-clusters-frozen", "nothing trained", CLUSTERS, frozen=("all",)),
    fault(
        "mlp-mnist-pixels",
        "input scale",
        MLP_SGD,
        damage=(("inputs times", 255),),
    ),
    fault(
        "mlp-mnist-inputs-faint",
        "input scale",
        MLP_SGD,
        damage=(("inputs times", 1e-3),),
    ),
    fault(
        "mlp-clusters-inputs-far-off",
        "input scale",
        CLUSTERS,
        damage=(("inputs plus", 100),),
    ),
    fault(
        "mlp-mnist-inputs-cut",
        "input lost",
        MLP,
        damage=(("inputs cut to whole numbers",),),
    ),
    *(
        fault(
            f"mlp-waves-targets-times-{factor:g}",
            "target scale",
            WAVES,
            damage=(("targets times", factor),),
        )
        for factor in (300, 1e5)
    ),
    fault("mlp-mnist-shuffled", "labels", MLP, damage=(("targets shuffled",),)),
    fault("mlp-spirals-shuffled", "labels", SPIRALS, damage=(("targets shuffled",),)),
    fault(
        "mlp-clusters-classes-from-1", "labels", CLUSTERS, damage=(("targets plus", 1),)
    ),
    fault(
        "mlp-spirals-labels-of-either-sign",
        "labels",
        SPIRALS,
        damage=(("targets of -1 and 1",),),
    ),
    fault(
        "mlp-clusters-nan", "NaN in the data", CLUSTERS, damage=(("inputs NaN", 0.05),)
    ),
    fault(
        "mlp-waves-nan-targets",
        "NaN in the data",
        WAVES,
        damage=(("targets NaN", 0.02),),
    ),
    fault("mlp-mnist-l2-10", "regularization", MLP, penalty=10.0),
    fault("mlp-mnist-dropout-0.98", "regularization", MLP, dropout=0.98),
    fault("mlp-spirals-dropout-0.9", "regularization", SPIRALS, dropout=0.9),
    fault(
        "mlp-mnist-float16-underflow",
        "float16 underflow",
        dataclasses.replace(MLP, policy="mixed_float16", loss_weight=1e-4),
        hidden(3),
        loss_scaling=False,
    ),
    fault(
        "mlp-mnist-float16-overflow",
        "float16 overflow",
        dataclasses.replace(MLP, policy="mixed_float16"),
        hidden(3),
        damage=(("inputs times", 1e4),),
    ),
)
CNNS = (
    fault(
        "cnn-mnist-zeros",
        "symmetry",
        CNN,
        ("conv_0", "conv_1", "hidden"),
        kernel="zeros",
    ),
    fault(
        "cnn-cifar10-constant",
        "symmetry",
        CIFAR,
        ("conv_0", "conv_1", "conv_2", "hidden"),
        kernel=constant(0.02),
    ),
    fault(
        "cnn-mnist-normal-0.001",
        "weights too small",
        CNN_SGD,
        ("conv_0", "conv_1", "hidden", "logits"),
        kernel=normal(1e-3),
    ),
    fault(
        "cnn-mnist-normal-1",
        "weights too large",
        CNN_SGD,
        ("conv_0", "conv_1", "hidden", "logits"),
        kernel=normal(1.0),
    ),
    fault(
        "cnn-mnist-dead-bias",
        "dead units",
        CNN,
        ("conv_1",),
        at={"conv_1": {"bias_initializer": constant(-20.0)}},
    ),
    fault("cnn-mnist-adam-0.3", "rate too high", CNN, rate=0.3),
    fault("cnn-cifar10-shuffled", "labels", CIFAR, damage=(("targets shuffled",),)),
    fault("cnn-mnist-nan", "NaN in the data", CNN, damage=(("inputs NaN", 0.02),)),
    fault("cnn-mnist-dropout-0.97", "regularization", CNN, dropout=0.97),
)
RESNETS = (
    fault(
        "resnet-mnist-zeros-in-stem",
        "symmetry",
        RESNET,
        ("stem",),
        at=kernel_of("stem", "zeros"),
    ),
    fault(
        "resnet-mnist-without-normalization",
        "weights too large",
        dataclasses.replace(RESNET, depth=8, width=8),
        (
            "stem",
            "logits",
            *(f"block_{n}_conv_{i}" for n in range(8) for i in range(2)),
        ),
        normalized=False,
    ),
    fault("resnet-mnist-adam-3", "rate too high", RESNET, rate=3.0),
    fault("resnet-mnist-l2-3", "regularization", RESNET, penalty=3.0),
)
RECURRENT = (
    fault(
        "rnn-tendency-zeros",
        "symmetry",
        RNN,
        ("rnn_0",),
        at=of_cell(kernel_initializer="zeros", recurrent_initializer="zeros"),
    ),
    *(
        fault(
            f"rnn-tendency-relu-recurrent-{gain:g}",
            "exploding in time",
            dataclasses.replace(
                RNN,
                rate=1e-3,
                at=of_cell(
                    activation="relu",
                    recurrent_initializer={"class_name": "Identity", "config": {}},
                ),
            ),
            ("rnn_0",),
            at=of_cell(
                activation="relu",
                recurrent_initializer={
                    "class_name": "Identity",
                    "config": {"gain": gain},
                },
            ),
        )
        for gain in (1.5, 3.0)
    ),
    fault(
        "rnn-memory-recurrent-0.3",
        "vanishing in time",
        MEMORY_RNN,
        ("rnn_0",),
        at=of_cell(recurrent_initializer=orthogonal(0.3)),
    ),
    fault(
        "rnn-memory-recurrent-zeros",
        "vanishing in time",
        MEMORY_RNN,
        ("rnn_0",),
        at=of_cell(recurrent_initializer="zeros"),
    ),
    fault(
        "rnn-memory-lstm-forgets",
        "vanishing in time",
        MEMORY,
        ("rnn_0",),
        at=of_cell(unit_forget_bias=False, bias_initializer=constant(-3.0)),
    ),
    fault("rnn-imdb-lstm-adam-1", "rate too high", LSTM, rate=1.0),
    fault("rnn-tendency-gru-sgd-1e-5", "rate too low", GRU, rate=1e-5, **SGD),
    fault("rnn-tendency-shuffled", "labels", GRU, damage=(("targets shuffled",),)),
    fault("rnn-imdb-labels-of-1-and-2", "labels", LSTM, damage=(("targets plus", 1),)),
    fault(
        "rnn-tendency-inputs-times-1000",
        "input scale",
        RNN,
        damage=(("inputs times", 1000),),
    ),
    fault("rnn-tendency-nan", "NaN in the data", GRU, damage=(("inputs NaN", 0.02),)),
)
ATTENTIONS = (
    fault(
        "attention-words-embeddings-zeros",
        "symmetry",
        ATTENTION,
        ("words",),
        at={"words": {"embeddings_initializer": "zeros"}},
    ),
    fault("attention-words-adam-1", "rate too high", ATTENTION, rate=1.0),
    fault("attention-words-adam-1e-6", "rate too low", ATTENTION, rate=1e-6),
    fault(
        "attention-imdb-shuffled",
        "labels",
        ATTENTION_IMDB,
        damage=(("targets shuffled",),),
    ),
    fault("attention-words-dropout-0.95", "regularization", ATTENTION, dropout=0.95),
)

FAULTY = MLPS + CNNS + RESNETS + RECURRENT + ATTENTIONS
