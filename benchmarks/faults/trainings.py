"""The healthy trainings that set-ups start from, and what they are changed with."""

import dataclasses
from typing import Any

from benchmarks.faults.settings import Setting


def normal(std: float) -> dict[str, Any]:
    """Returns a normal initializer."""
    return {"class_name": "RandomNormal", "config": {"stddev": std, "seed": None}}


def constant(value: float) -> dict[str, Any]:
    """Returns an initializer of one number."""
    return {"class_name": "Constant", "config": {"value": value}}


def orthogonal(gain: float) -> dict[str, Any]:
    """Returns an orthogonal initializer."""
    return {"class_name": "Orthogonal", "config": {"gain": gain, "seed": None}}


def hidden(depth: int, first: int = 0) -> tuple[str, ...]:
    """Returns the names of an MLP's hidden layers."""
    return tuple(f"hidden_{n}" for n in range(first, depth))


def kernel_of(name: str, initializer: Any) -> dict[str, Any]:
    """Returns `at` for one layer with another kernel."""
    return {name: {"kernel_initializer": initializer}}


def of_cell(**given: Any) -> dict[str, Any]:
    """Returns `at` for the first recurrent layer."""
    return {"rnn_0": given}


SGD: dict[str, Any] = {"optimizer": "sgd", "options": {"momentum": 0.9}}
MLP = Setting("mnist")
MLP_SGD = Setting("mnist", rate=0.01, **SGD)
TANH = Setting("mnist", activation="tanh", kernel="glorot_uniform")
DEEP = Setting("mnist", depth=16, rate=0.003, **SGD)
DEEP_TANH = Setting(
    "mnist", depth=16, activation="tanh", kernel="orthogonal", rate=0.003, **SGD
)
CLUSTERS = Setting("clusters", rate=3e-3)
SPIRALS = Setting("spirals", width=32, rate=1e-2, steps=300)
WAVES = Setting("waves", rate=3e-3)
COPIES = Setting("copies", width=128, rate=2e-3)
CNN = Setting("mnist", "cnn", depth=2, width=8)
CNN_SGD = dataclasses.replace(CNN, rate=0.02, **SGD)
CIFAR = Setting(
    "cifar10",
    "cnn",
    depth=3,
    width=24,
    at={"conv_0": {"strides": 2}},
    rate=2e-3,
    steps=300,
)
RESNET = Setting("mnist", "resnet", depth=2, width=8, normalized=True, rate=5e-3)
LSTM = Setting("imdb", "rnn", depth=1, width=32, rate=5e-3, steps=300)
RNN = Setting("tendency", "rnn", depth=1, width=32, cell="SimpleRNN", rate=3e-3)
GRU = Setting("tendency", "rnn", depth=1, width=32, cell="GRU", rate=3e-3)
MEMORY = Setting("memory", "rnn", depth=1, width=32, rate=5e-3, steps=300)
MEMORY_RNN = dataclasses.replace(MEMORY, cell="SimpleRNN", rate=2e-3)
ATTENTION = Setting(
    "words", "attention", depth=1, width=32, normalized=True, rate=3e-3, steps=300
)
ATTENTION_IMDB = dataclasses.replace(ATTENTION, data="imdb")
ATTENTION_TIME = dataclasses.replace(ATTENTION, data="tendency", steps=200)
