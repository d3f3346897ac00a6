"""What monitoring says it costs, by a clock of our own."""

import time

import pytest

from keras_initkit.callbacks.overhead import OverheadMeter


@pytest.fixture
def clock(monkeypatch):
    class Clock:
        now = 100.0

        def __call__(self):
            return self.now

    clock = Clock()
    monkeypatch.setattr(time, "perf_counter", clock)
    return clock


def run(meter, clock, seconds, monitored=False, host=0.0):
    meter.begin(monitored)
    clock.now += seconds
    meter.add_host_seconds(host)


def test_extra_time_is_what_monitored_steps_last_above_the_median(clock):
    meter = OverheadMeter()
    assert meter.ratio() == 0.0
    run(meter, clock, 5.0, monitored=True)  # traced
    for step in range(1, 21):
        run(meter, clock, 3.0 if step % 10 == 0 else 1.0, monitored=step % 10 == 0)
    run(meter, clock, 900.0)  # one slow step in between
    meter.end()
    clock.now += 1000.0  # evaluation is no training
    assert meter.training_seconds == pytest.approx(5 + 18 * 1 + 2 * 3 + 900)
    assert meter.extra_seconds() == pytest.approx(4 + 2 * 2)
    assert meter.ratio() == pytest.approx(8 / 929)
    assert meter.summary()["first_step_seconds"] == pytest.approx(5)
    assert meter.summary()["measured_as"].startswith(
        "time of monitored steps in excess"
    )


def test_without_unmonitored_steps_only_host_time_counts(clock):
    meter = OverheadMeter()
    for _ in range(10):
        run(meter, clock, 2.0, monitored=True, host=0.5)
    meter.end()
    assert meter.ratio() == pytest.approx(0.25)
    assert meter.summary()["measured_as"].startswith("host time of recording")


def test_faster_monitored_steps_cost_nothing(clock):
    meter = OverheadMeter()
    for step in range(10):
        run(meter, clock, 1.0 + step % 2, monitored=step % 2 == 0)
    meter.end()
    assert meter.ratio() == 0.0
