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
            that says whether the next is to be monitored.
        count: The same for histograms.
        deliver: Function called after each monitored step with the number of steps done
            before it, `{signal: StepStatistics}` and the step's logs.
        on_batch: Function called ahead of each monitored step with a function that
            returns its data.
        failed: Function of an exception and of what failed by it: nothing is delivered
            any more.
    """

    listener: typing.Hashable
    plan: typing.Callable[[int], bool]
    count: typing.Callable[[int], bool]
    deliver: typing.Callable[[int, dict, dict], None]
    on_batch: typing.Callable[[typing.Callable[[], typing.Any]], None]
    failed: typing.Callable[[Exception, str], None]

    def wants(self, done):
        """Whether a step is to be monitored; `False` once that cannot be told."""
        return bool(self._guarded("the schedule", self.plan, done))

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
    """What a listener wants to be tapped: signals, `(name, layer)`s, weights by id."""

    signals: tuple
    layers: tuple
    weights: dict
    histograms: bool

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
            signal: one.part(wanted[schema.ALL_SIGNALS[signal].source], histograms)
            for signal, one in seen.items()
            if signal in self.signals
        }


class Watch(typing.NamedTuple):
    """A step that is watched: the requests for it, those that want histograms."""

    requests: list
    counting: list

    @classmethod
    def of(cls, requests, done):
        return cls(requests, [one for one in requests if one.wants_histograms(done)])
