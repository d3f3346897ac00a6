"""Copies of optimizers, which leave the original alone."""

import warnings
from collections.abc import Iterable
from typing import Any

from keras_initkit.structure import keras_private


def copied(optimizer: Any, variables: Iterable[Any], **changes: Any) -> Any:
    """Returns an optimizer as another one, in its present state.

    Args:
        optimizer: A Keras optimizer, built or not.
        variables: What the copy is built for, in the order of the original's.
        **changes: Entries of its configuration that are to be others, where it has
            them; of the inner optimizer's, too.

    Returns:
        The copy. A change that gives it other state variables has it start anew.

    What the optimizer's own `get_config`, `from_config` and `build` raise is raised.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that a rate by a `lambda` is not to be saved
        config = optimizer.get_config()
    for part in (config, config.get("inner_optimizer", {}).get("config", {})):
        part.update({k: v for k, v in changes.items() if part.get(k) is not None})
    copy = type(optimizer).from_config(config)
    copy.build(list(variables))
    states, known = _state(copy), _state(optimizer)
    if [v.shape for v in states] == [v.shape for v in known]:
        for variable, state in zip(states, known, strict=True):
            variable.assign(state.value)
    return copy


def _state(optimizer: Any) -> list[Any]:
    """Lists an optimizer's variables, but for the rate, which may be none."""
    inner = getattr(optimizer, "inner_optimizer", optimizer)
    rate = keras_private.learning_rate_given(inner)
    return [one for one in optimizer.variables if one is not rate]
