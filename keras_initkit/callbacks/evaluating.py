"""`Evaluations`: the first batch of each evaluation, as the model then computes it."""

from collections.abc import Callable, Mapping
from typing import Any

from keras_initkit import capture, schema

SIGNALS = tuple(schema.EVALUATION_SIGNALS)


class Evaluations:
    """Has the first batch of each evaluation of a model watched.

    Args:
        listener: The monitor.
        session: The session of the model's test steps.
        detail: One of `schema.DETAILS`.
        look: Function without arguments, called ahead of each that is watched.
        deliver: Function of the iteration and `{signal: StepStatistics}`.
    """

    def __init__(
        self,
        listener: Any,
        session: Any,
        detail: str,
        look: Callable[[], None],
        deliver: Callable[[int, Mapping[str, Any]], None],
    ) -> None:
        self._listener = listener
        self._session = session
        self._detail = detail
        self._look = look
        self._deliver = deliver

    def arm(self, step: int) -> None:
        """Has the next execution of the test function watched.

        Args:
            step: The iteration that the weights are of.
        """
        self._session.arm(self._request(step))

    def end(self) -> None:
        """Takes the monitor off the model."""
        self._session.forget(self._listener)

    def _request(self, step):
        return capture.StepRequest(
            listener=self._listener,
            plan=lambda done: None if done else self._detail,
            count=lambda done: False,
            deliver=lambda done, seen, logs: self._deliver(step, seen),
            on_batch=lambda batch: self._look(),
            failed=self._listener.give_up,
        )
