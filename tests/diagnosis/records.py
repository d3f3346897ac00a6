"""A healthy record as arrays to edit, and the record made of them."""

import numpy as np

from keras_initkit import schema
from keras_initkit.recording.record import RunRecord
from keras_initkit.recording.series import SignalSeries
from keras_initkit_light.format.schema import TensorKey

LAYERS = ("dense", "dense_1", "dense_2", "logits")
UNITS = (64, 32, 16, 10)
STEPS = tuple(range(0, 121, 10))
LAYER_SIGNALS = ("activation", "preactivation", "backprop", "inference")
WEIGHT_SIGNALS = ("gradient", "weight", "update")

# What a healthy net of these layers shows, by signal and statistic.
VALUES = {
    "activation": {
        "std": 1.0,
        "rms": 1.0,
        "norm": 16.0,
        "min": -3.0,
        "max": 3.0,
        "zero_fraction": 0.5,
        "dead_fraction": 0.1,
        "nonfinite_count": 0.0,
        "effective_rank": 6.0,
    },
    "preactivation": {"nonfinite_count": 0.0, "saturation_fraction": 0.1},
    "backprop": {"rms": 1e-3, "norm": 1e-3, "nonfinite_count": 0.0},
    "gradient": {"rms": 1e-2, "nonfinite_count": 0.0},
    "weight": {"std": 0.3, "rms": 0.3, "nonfinite_count": 0.0},
    "update": {"rms": 3e-4, "nonfinite_count": 0.0, "update_to_weight_ratio": 1e-3},
    "inference": {"rms": 1.0},
}


class Draft:
    """A record before it is made, healthy until edited.

    Attributes:
        tensors: `{signal: [TensorKey]}`.
        values: `{signal: {statistic: array of shape (steps, tensors)}}`.
        histograms: `{signal: shares of shape (steps, tensors, columns)}`.
        time_steps: `{signal: rms of shape (steps, tensors, time steps)}`.
        loss: Running means over the epoch (of one step: plain losses).
        metrics: `{name: values}` of the same steps.
        metadata: Facts about the run.
    """

    def __init__(self, layers=LAYERS, units=UNITS, steps=STEPS):
        self.steps = steps
        outputs = [TensorKey(name, "output") for name in layers]
        weights = [TensorKey(n, t) for n in layers for t in ("kernel", "bias")]
        self.tensors = {signal: outputs for signal in LAYER_SIGNALS}
        self.tensors |= {signal: weights for signal in WEIGHT_SIGNALS}
        self.values = {
            signal: {
                name: np.full((len(steps), len(self.tensors[signal])), value)
                for name, value in statistics.items()
            }
            for signal, statistics in VALUES.items()
        }
        for signal in ("activation", "gradient", "weight"):
            repeats = 1 if signal == "activation" else 2
            counts = np.repeat(np.array(units[: len(layers)], float), repeats)
            counts = np.tile(counts, (len(steps), 1))
            self.values[signal]["distinct_units"] = counts
        shares = np.zeros((len(steps), len(layers), len(schema.HISTOGRAM_COLUMNS)))
        shares[:, :, schema.HISTOGRAM_COLUMNS.index("2^-8")] = 1.0
        self.histograms = {"backprop": shares}
        # Two layers over time, the second recurrent; the gradient loses 20 % at each of
        # 32 steps.
        fade = np.full(schema.TIME_STEPS, np.nan)
        fade[:32] = 0.8 ** np.arange(31, -1, -1)
        self.time_steps = {"backprop": np.tile(fade, (len(steps), 2, 1))}
        self.loss = 2.3 * 0.99 ** np.asarray(steps, float)
        self.metrics = {}
        self.metadata = {
            "layers": [
                {
                    "path": name,
                    "class_name": "Dense",
                    "activation": "relu" if name != layers[-1] else "linear",
                    "dtype": "float32",
                    "weights": {"kernel": [11, n], "bias": [n]},
                    "roles": {"kernel": "kernel", "bias": "offset"},
                    "fans": {"kernel": [11, n]},
                    "place": {
                        "net": 0,
                        "depth": depth,
                        "hands_on": name != layers[-1],
                        "branch": False,
                    },
                }
                for depth, (name, n) in enumerate(zip(layers, units, strict=False))
            ],
            "loss": {
                "name": "sparse_categorical_crossentropy",
                "from_logits": True,
                "reduction": "sum_over_batch_size",
                "weighted": False,
            },
            "optimizer": {
                "name": "adam",
                "learning_rate": 1e-3,
                "scheduled": False,
                "weight_decay": None,
                "gradient_accumulation_steps": None,
                "loss_scale": 1.0,
            },
            "outputs": [{"layer": layers[-1], "activation": "linear", "units": 10}],
            "phases": [],
            "learning_rate_trial": {
                "rate": 1e-3,
                "low": 3e-4,
                "high": 1e-2,
                "proposal": 3e-3,
                "reason": None,
                "start": 2.4,
                "steps": 5,
                "tried": [{"rate": 1e-3, "loss": 2.2}, {"rate": 1.0, "loss": None}],
            },
            "penalty": 0.1,
            "dropout": [["dropout", 0.5]],
            "fit": {"first_step": 0, "steps_per_epoch": 1},
            "weighted": False,
            "input": [moments(0.0, 1.0, -3.0, 3.0)],
            "target": {
                **moments(4.5, 2.9, 0.0, 9.0),
                "shape": [512],
                "integral": True,
                "entropy": 2.3,
                "most_frequent": 0.12,
            },
            "sample": {"examples": 512, "of": 512},
            "splits": [split()],
        }

        recurrent = {"recurrent_kernel": "recurrent_kernel"}
        self.metadata["layers"][1 % len(layers)]["roles"].update(recurrent)

    def without(self, need):
        """Takes out what a rule needs, named as `Rule.needs` does."""
        kind, _, name = need.partition("/")
        if kind == "scalars":
            self.loss = None
        elif kind == "facts":
            self.metadata.pop(name, None)
        elif name == "histogram":
            self.histograms.pop(kind, None)
        elif name == "time_steps":
            self.time_steps.pop(kind, None)
        else:
            self.values.get(kind, {}).pop(name, None)
        return self

    def without_facts(self):
        self.metadata = {}
        return self

    def record(self, steps=None):
        """Makes the record, of the first few `steps` if a number is given."""
        steps = self.steps if steps is None else self.steps[:steps]
        made = RunRecord(metadata=self.metadata)
        values = dict(self.values)
        if "rms" in values["activation"]:
            # What is drafted is how much larger than in training.
            rms = values["activation"]["rms"]
            factors = values["inference"]
            values["inference"] = {name: rms * x for name, x in factors.items()}
        for signal, statistics in values.items():
            if statistics:
                names = tuple(statistics)
                made.series[signal] = _series(
                    signal, self.tensors[signal], names, steps, _stack(statistics)
                )
        for signal, shares in self.histograms.items():
            made.histograms[signal] = _series(
                signal, self.tensors[signal], schema.HISTOGRAM_COLUMNS, steps, shares
            )
        for signal, values in self.time_steps.items():
            made.time_steps[signal] = _series(
                signal, self.tensors[signal][:2], schema.TIME_COLUMNS, steps, values
            )
        if self.loss is not None:
            for step, loss in zip(steps, self.loss, strict=False):
                made.add_scalars(step, {"loss": loss})
        for name, numbers in self.metrics.items():
            for step, number in zip(steps, numbers, strict=False):
                made.add_scalars(step, {name: number})
        return made


def moments(mean, std, low, high):
    return {
        "shape": [512, 4],
        "dtype": "float32",
        "mean": mean,
        "std": std,
        "rms": float(np.hypot(mean, std)),
        "min": low,
        "max": high,
        "nonfinite": 0,
        "integral": False,
    }


def split(scale=1.1, shift=0.2, column=3):
    return {
        "what": "inputs",
        "number": 0,
        "scale": scale,
        "shift": shift,
        "column": column,
    }


def _stack(statistics):
    return np.stack(list(statistics.values()), axis=2)


def _series(signal, tensors, columns, steps, values):
    series = SignalSeries(signal, tuple(tensors), tuple(columns))
    for row, step in enumerate(steps):
        series.append(step, values[row])
    return series
