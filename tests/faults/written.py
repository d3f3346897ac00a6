"""Runs on disk for tests, written without a training."""

import numpy as np

from keras_initkit import RunRecord, schema
from keras_initkit.recording import RunWriter

KEYS = (schema.TensorKey("dense", "kernel"), schema.TensorKey("out", "kernel"))
SIGNALS = ("gradient", "weight")


def values(signal, keys, step):
    """Returns the statistics of a step, of shape `(keys, statistics)`."""
    shape = (len(keys), len(schema.statistics_of(signal)))
    return step + np.arange(np.prod(shape)).reshape(shape)


def add_step(writer, record, step):
    """Adds a step to a record and writes it."""
    for signal in SIGNALS:
        record.add(signal, KEYS, step, values(signal, KEYS, step))
    writer.write_step(step, record, SIGNALS, {})
    record.add_scalars(step, {"loss": 2.0**-step})
    writer.write_metrics(step, {"loss": 2.0**-step})


def write(log_dir, steps, continued=lambda: None):
    """Writes a run of these steps and closes it; returns its writer and record."""
    writer, record = RunWriter(log_dir, continued), RunRecord()
    record.metadata["model"] = "net"
    writer.write_run(0, record.metadata)
    for step in steps:
        add_step(writer, record, step)
    writer.close()
    return writer, record
