"""The healthy set-ups: trainings that work, ordinary and less ordinary ones."""

import dataclasses
from typing import Any

from benchmarks.faults.settings import Setting, SetUp
from benchmarks.faults.trainings import (
    ATTENTION,
    ATTENTION_IMDB,
    ATTENTION_TIME,
    CIFAR,
    CLUSTERS,
    CNN,
    CNN_SGD,
    COPIES,
    DEEP,
    DEEP_TANH,
    GRU,
    LSTM,
    MEMORY,
    MLP,
    MLP_SGD,
    RESNET,
    RNN,
    SPIRALS,
    TANH,
    WAVES,
    kernel_of,
)


def healthy(name: str, training: Setting, **change: Any) -> SetUp:
    """Returns a set-up that trains, changed or not."""
    return SetUp(name, dataclasses.replace(training, **change))


HEALTHY = (
    healthy("mlp-mnist-adam", MLP),
    healthy("mlp-mnist-sgd", MLP_SGD),
    healthy("mlp-mnist-rmsprop", MLP, optimizer="rmsprop"),
    healthy("mlp-mnist-adamw", MLP, optimizer="adamw", options={"weight_decay": 4e-3}),
    healthy("mlp-mnist-adagrad", MLP, optimizer="adagrad", rate=0.03),
    healthy("mlp-mnist-glorot", MLP, kernel="glorot_uniform"),
    healthy("mlp-mnist-tanh", TANH),
    healthy("mlp-mnist-selu", MLP, activation="selu", kernel="lecun_normal"),
    healthy("mlp-mnist-normalized", MLP, normalized=True),
    healthy("mlp-mnist-dropout-0.5", MLP, dropout=0.5, width=128),
    healthy("mlp-mnist-small-batches", MLP, batch=8),
    healthy("mlp-mnist-deep", DEEP),
    healthy("mlp-mnist-deep-tanh", DEEP_TANH),
    healthy("mlp-mnist-half-frozen", MLP, frozen=("hidden_0",)),
    healthy("mlp-mnist-zero-logits", MLP, at=kernel_of("logits", "zeros")),
    healthy(
        "mlp-mnist-softmax-output",
        MLP,
        last="softmax",
        loss="sparse_categorical_crossentropy",
    ),
    healthy("mlp-mnist-float16", MLP, policy="mixed_float16"),
    healthy("mlp-clusters-adam", CLUSTERS),
    healthy(
        "mlp-clusters-sigmoid",
        CLUSTERS,
        depth=2,
        activation="sigmoid",
        kernel="glorot_uniform",
    ),
    healthy("mlp-spirals-adam", SPIRALS),
    healthy("mlp-waves-adam", WAVES),
    healthy("mlp-copies-adam", COPIES),
    healthy("mlp-mnist-few-wrong-labels", MLP, damage=(("targets shuffled", 0.2),)),
    healthy("cnn-mnist-adam", CNN),
    healthy("cnn-mnist-sgd", CNN_SGD),
    healthy("cnn-cifar10-adam", CIFAR),
    healthy("resnet-mnist-adam", RESNET),
    healthy("resnet-mnist-plain", RESNET, normalized=False),
    healthy(
        "resnet-mnist-zero-branches",
        RESNET,
        normalized=False,
        at={f"block_{n}_conv_1": {"kernel_initializer": "zeros"} for n in range(2)},
    ),
    healthy("rnn-imdb-lstm", LSTM),
    healthy("rnn-tendency-simple", RNN),
    healthy("rnn-tendency-gru", GRU),
    healthy("rnn-memory-lstm", MEMORY),
    healthy("attention-words-adam", ATTENTION),
    healthy("attention-imdb-adam", ATTENTION_IMDB),
    healthy("attention-tendency-adam", ATTENTION_TIME),
)
