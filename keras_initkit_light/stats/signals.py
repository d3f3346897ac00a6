"""What is tapped: the signals of a training step and of an evaluation."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Signal:
    """What is tapped.

    Attributes:
        name: First component of every tag of the signal.
        source: `"layer"` for tensors that flow through a layer, `"weight"` for
            tensors that belong to a trainable weight.
        description: What it is, in one sentence.
    """

    name: str
    source: str
    description: str


SIGNALS = {
    signal.name: signal
    for signal in (
        Signal("activation", "layer", "a layer's output in the training forward pass"),
        Signal(
            "preactivation",
            "layer",
            "the input of a layer's own activation function, unless that is linear",
        ),
        Signal(
            "backprop",
            "layer",
            "gradient of the loss with respect to a layer's output, loss scale undone",
        ),
        Signal(
            "gradient",
            "weight",
            "gradient of the loss with respect to a trainable weight, loss scale "
            "undone, before clipping",
        ),
        Signal("weight", "weight", "a trainable weight, before the step's update"),
        Signal("update", "weight", "the actual change of a weight in the step"),
    )
}

# What `evaluate` shows, not the training step.
EVALUATION_SIGNALS = {
    signal.name: signal
    for signal in (
        Signal(
            "inference",
            "layer",
            "a layer's output in the first batch of an evaluation, in inference mode",
        ),
        Signal(
            "state",
            "weight",
            "a weight not trained by gradients, such as a moving average, at an "
            "evaluation",
        ),
    )
}
ALL_SIGNALS = {**SIGNALS, **EVALUATION_SIGNALS}
EVERY = tuple(ALL_SIGNALS)
