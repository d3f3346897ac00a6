"""`Evaluations`: the first batch of each evaluation, as the model then computes it."""

from collections.abc import Callable, Mapping
from typing import Any

from keras_initkit import capture, schema
from keras_initkit.callbacks.counting import iterations_of

SIGNALS = tuple(schema.EVALUATION_SIGNALS)


class Evaluations:
    """Has the first batch of each evaluation of a model watched, once an iteration.

    Args:
        listener: The monitor.
        on_batch: Function without arguments, called ahead of each that is watched.
        deliver: Function of the iteration and `{signal: StepStatistics}`.
    """

    def __init__(
        self,
        listener: Any,
        on_batch: Callable[[], None],
        deliver: Callable[[int, Mapping[str, Any]], None],
    ) -> None:
        self._listener = listener
        self._on_batch = on_batch
        self._deliver = deliver
        # The session of the model's test steps, `None` while nothing is watched.
        self._session: Any = None
        self._detail = ""
        # The iteration that was evaluated last.
        self._evaluated_at: int | None = None

    def begin(self, model: Any, detail: str, selection: Any) -> None:
        """Begins to watch the evaluations of a model.

        Args:
            model: The model.
            detail: One of `schema.DETAILS`.
            selection: `Selection` of layers.
        """
        self._session = capture.Session.of(model, capture.TEST)
        self._detail = detail
        self._session.listen(self._listener, {detail: SIGNALS}, selection)

    @property
    def are_watched(self) -> bool:
        """Whether the evaluations to come are watched."""
        return self._session is not None

    def begin_batch(self, batch: int) -> None:
        """Has the first batch of an evaluation watched, of weights not yet evaluated.

        Args:
            batch: The number of the batch that begins.
        """
        if batch == 0 and self.are_watched:
            step = iterations_of(self._session.model)
            if step != self._evaluated_at:
                self._session.arm(self._request(step))

    def begin_anew(self) -> None:
        """Forgets what was evaluated: another model is."""
        self._evaluated_at = None

    def leave(self) -> None:
        """Watches no more, whatever became of the last evaluation."""
        self._session = None

    def end(self) -> None:
        """Takes the monitor off the model."""
        if self.are_watched:
            self._session.forget(self._listener)

    def _request(self, step):
        return capture.StepRequest(
            listener=self._listener,
            plan=lambda done: None if done else self._detail,
            count=lambda done: False,
            deliver=lambda done, seen, logs: self._receive(step, seen),
            on_batch=lambda batch: self._on_batch(),
            failed=self._listener.give_up,
        )

    def _receive(self, step, seen):
        self._evaluated_at = step
        self._deliver(step, seen)
