"""What listeners ask of a session, and what of a step goes to whom."""

import dataclasses
import typing

from keras_initkit import schema
from keras_initkit.capture.guard import is_wanted


@dataclasses.dataclass(frozen=True)
class StepRequest:
    """What a listener wants of one execution of the train function.

    Attributes:
        listener: As given to `Session.listen`.
        plan: Function of the number of steps done in this execution (0 for the first)
            that says in what detail the next is to be recorded, one of
            `schema.DETAILS`; `None` if it is not to be monitored.
        count: The same for histograms.
        deliver: Function called after each monitored step with the number of steps done
            before it, `{signal: StepStatistics}` and the step's logs.
        on_batch: Function called ahead of each monitored step with a function that
            returns its data.
        failed: Function of an exception and of what failed by it: nothing is delivered
            any more.
    """

    listener: typing.Hashable
    plan: typing.Callable[[int], str | None]
    count: typing.Callable[[int], bool]
    deliver: typing.Callable[[int, dict, dict], None]
    on_batch: typing.Callable[[typing.Callable[[], typing.Any]], None]
    failed: typing.Callable[[Exception, str], None]

    def detail(self, done):
        """In what detail a step is to be recorded; `None` for not, or not known."""
        return self._guarded("the schedule", self.plan, done)

    def wants_histograms(self, done):
        """Whether values of a step are to be counted."""
        return bool(self._guarded("the schedule of histograms", self.count, done))

    def show(self, batch):
        """Shows the data of a step."""
        self._guarded("describing the training", self.on_batch, batch)

    def give(self, done, seen, logs):
        """Delivers a step."""
        self._guarded("recording a step", self.deliver, done, seen, logs)

    def _guarded(self, doing, function, *args):
        try:
            return function(*args)
        except Exception as error:
            if is_wanted(error):
                raise
            self.failed(error, doing)
            return None


@dataclasses.dataclass(frozen=True)
class Wish:
    """What a listener wants to be tapped: signals, `(name, layer)`s, weights by id.

    And what of each tensor: histograms or not, one of `schema.DETAILS`.
    """

    signals: tuple
    layers: tuple
    weights: dict
    histograms: bool
    detail: str = "full"

    def owners(self):
        """Returns the names of layers and of the owners of weights."""
        return self._names() | self._weight_owners()

    def _names(self):
        return {name for name, _ in self.layers}

    def _weight_owners(self):
        return {owner for owner, _ in self.weights.values()}

    def part_of(self, seen, histograms):
        """Returns what of `{signal: StepStatistics}` was wished for."""
        wanted = {"layer": self._names(), "weight": self._weight_owners()}
        return {
            signal: one.part(
                wanted[schema.ALL_SIGNALS[signal].source],
                histograms,
                schema.statistics_of(signal, self.detail),
            )
            for signal, one in seen.items()
            if signal in self.signals
        }


class Watch(typing.NamedTuple):
    """A step that is watched.

    Attributes:
        details: `{request for it: what it is to be recorded in}`.
        counting: Those requests that want histograms.
        done: How many steps of the execution are done before it.
    """

    details: dict
    counting: list
    done: int

    @classmethod
    def of(cls, details, done):
        return cls(
            details, [one for one in details if one.wants_histograms(done)], done
        )


def details_of(requests, done):
    """Returns `{request: detail}` of those requests that want a step."""
    asked = ((request, request.detail(done)) for request in requests)
    return {request: detail for request, detail in asked if detail is not None}


def fullest(details):
    """Returns the one of `schema.DETAILS` that holds all of some, `None` for none."""
    return next((one for one in schema.DETAILS if one in details), None)
