"""The kinds of model, data and training that the monitor must not disturb.

Each kind is built afresh from a seed and trained on the same data, bare and watched.
"""

import kinds_layers
import kinds_structures
import kinds_training

KINDS = {**kinds_structures.KINDS, **kinds_layers.KINDS, **kinds_training.KINDS}

# What every run of the tests goes through; the others are slow.
DEFAULT = frozenset(
    {
        "functional",
        "subclassed",
        "nested",
        "shared_layer",
        "dicts_in_and_out",
        "layer_of_several_outputs",
        "weights_shared_by_layers",
        "frozen",
        "rematerialized",
        "layer_in_a_loop",
        "changing_and_zero_sizes",
        "own_train_step",
        "no_optimizer",
        "residual_convolutional",
        "lstm",
        "attention",
        "eager",
        "steps_per_execution_4",
        "accumulation_and_clipping",
        "mixed_float16",
        "mirrored_one_device",
        "fit_after_an_exception",
    }
)
