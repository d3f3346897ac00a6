"""What monitoring costs the monitored run itself, in wall time."""

import collections
import statistics
import time

# Executions of the train function that are not monitored: as many as the median is of,
# at most and at least.
_MOST, _FEWEST = 101, 5


class OverheadMeter:
    """Measures the share of the training time that monitoring takes.

    An execution of the train function lasts until the next one begins, or evaluation
    or the epoch's end comes. The extra time of a monitored execution is its duration in
    excess of the median of the last unmonitored ones, including tracing. If there are
    none to compare with (every step is monitored), only the time spent in this package
    on the host counts: recording and writing, without the statistics on the device, so
    the true share is larger.
    """

    def __init__(self):
        self.training_seconds = 0.0
        self._plain: collections.deque = collections.deque(maxlen=_MOST)
        self._begun = None
        self._is_monitored = False
        self._extra = 0.0
        self._first_seconds = 0.0
        # Monitored executions that have not been compared yet.
        self._waiting, self._waiting_seconds, self._waiting_host = 0, 0.0, 0.0

    @property
    def compares(self):
        """Whether there are unmonitored executions enough to compare with."""
        return len(self._plain) >= _FEWEST

    @property
    def is_running(self):
        """Whether executions are told to it."""
        return self._begun is not None or self.training_seconds > 0

    def begin(self, monitored):
        """An execution begins."""
        now = time.perf_counter()
        self._close(now)
        self._begun, self._is_monitored = now, monitored

    def end(self):
        """What comes now does not belong to the execution any more."""
        self._close(time.perf_counter())

    def add_host_seconds(self, seconds):
        """Counts time that this package spent in a monitored execution."""
        self._waiting_host += seconds

    def extra_seconds(self):
        """Returns the extra time of the monitored executions that have ended."""
        if not self.compares:
            return self._extra + self._waiting_host
        if self._waiting:
            usual = statistics.median(self._plain)
            self._extra += self._waiting_seconds - self._waiting * usual
            self._waiting, self._waiting_seconds, self._waiting_host = 0, 0.0, 0.0
        return max(0.0, self._extra)

    def ratio(self):
        """Returns extra over training time, in [0, 1]; 0 before a step has ended."""
        if not self.training_seconds:
            return 0.0
        return min(1.0, self.extra_seconds() / self.training_seconds)

    def summary(self):
        """Returns the figures as metadata has them, JSON-able.

        `"first_step_seconds"` is how long the first monitored execution lasted, tracing
        included: what a longer run does not pay again.
        """
        return {
            "ratio": self.ratio(),
            "extra_seconds": self.extra_seconds(),
            "training_seconds": self.training_seconds,
            "first_step_seconds": self._first_seconds,
            "measured_as": (
                "time of monitored steps in excess of the median of unmonitored ones"
                if self.compares
                else "host time of recording and writing; no unmonitored steps to "
                "compare with"
            ),
        }

    def _close(self, now):
        if self._begun is None:
            return
        seconds = now - self._begun
        self._begun = None
        self.training_seconds += seconds
        if self._is_monitored:
            self._first_seconds = self._first_seconds or seconds
            self._waiting += 1
            self._waiting_seconds += seconds
        else:
            self._plain.append(seconds)
