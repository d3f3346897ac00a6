"""From schedules to requests: which steps of an execution are asked for, and how."""

from collections.abc import Callable
from typing import Any

from keras_initkit import capture


def request_of(
    listener: Any,
    fit: Any,
    first: int,
    updates_per_batch: int,
    counts: Callable[[int], bool],
    deliver: Callable[..., None],
    on_batch: Callable[[Callable[[], Any]], None],
) -> capture.StepRequest:
    """Asks for the steps of an execution that are due.

    Args:
        listener: The monitor.
        fit: The `Fit` that it watches.
        first: The iteration that the execution begins with.
        updates_per_batch: Iterations a step.
        counts: Function of an iteration: whether histograms are recorded at it.
        deliver: Function of the iteration of a step, of what it showed, its logs.
        on_batch: As in `StepRequest`.
    """

    def begin(done):
        return first + done * updates_per_batch

    return capture.StepRequest(
        listener=listener,
        plan=lambda done: fit.detail_of(range(begin(done), begin(done + 1))),
        count=lambda done: counts(begin(done)),
        deliver=lambda done, *seen: deliver(begin(done), *seen),
        on_batch=on_batch,
        failed=listener.give_up,
    )
