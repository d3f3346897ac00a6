"""Runs for the tests of the tab: written by the real writer, or broken on purpose."""

import json

import numpy as np

from keras_initkit import schema
from keras_initkit.recording import RunRecord, RunWriter, events, hparams

# Names that must be shown as text, and never run.
HOSTILE = (
    "<img src=x onerror=window.hacked=1>",
    "\"'`&lt;${1}\\",
    "層/слой-ψ‮",
    "n" * 500,
)
HOSTILE_RUN = "<b onclick='x()'>run & \"co\""

STEPS = tuple(range(0, 50, 5))
LAYERS = ("dense", "dense_1", "dense_2")
# As many as make matrices that are packed.
DEEP = tuple(f"block/layer_{i}" for i in range(40))


def keys(*labels):
    return tuple(schema.TensorKey.from_label(label) for label in labels)


def matrix(tensors, step, signal="activation"):
    """A matrix in which every value differs, from those of other steps, too."""
    shape = (tensors, len(schema.statistics_of(signal)))
    return (step + np.arange(np.prod(shape)).reshape(shape) / 64).astype(np.float32)


class Run:
    """A run that is being written."""

    def __init__(self, log_dir):
        self.log_dir = log_dir
        self.record = RunRecord()
        self.writer = RunWriter(log_dir)

    def step(self, step, tensors=None, signal="activation"):
        tensors = keys(*LAYERS) if tensors is None else tensors
        values = matrix(len(tensors), step, signal)
        self.record.add(signal, tensors, step, values)
        self.writer.write_step(step, self.record, (signal,), {})

    def close(self):
        self.writer.close()
        return self.record


def write_run(log_dir, steps=STEPS):
    run = Run(log_dir)
    for step in steps:
        run.step(step)
    return run.close()


def write_events(log_dir, *values_by_step):
    """Writes `(step, [values])` as they are to the part of a run that the tab reads."""
    file = events.EventFile(log_dir / schema.RECORD_RUN)
    for step, values in values_by_step:
        file.write(step, values)
    file.close()


def content(version=schema.DATA_VERSION, **others):
    return {
        "v": version,
        "kind": "statistics",
        "signal": "activation",
        "tensors": list(LAYERS),
        "columns": list(schema.statistics_of("activation")),
        **others,
    }


def write_all(root):
    """Writes a run of each kind below `root` and returns it."""
    _write_full(root / "full")
    for name, value in (("full", "he_normal"), ("parts", "zeros")):
        hparams.write_session_start(
            root / name, {"initializer": value, "seed": 3}, {"accuracy": ""}
        )
    _write_parts(root / "parts")
    _write_rewound(root / "rewound")
    _write_deep(root)
    run = Run(root / HOSTILE_RUN)
    tensors = tuple(schema.TensorKey(name, "output") for name in HOSTILE)
    run.step(0, tensors)
    run.writer.write_run(0, {"model": HOSTILE[0], HOSTILE[1]: [HOSTILE[0]]})
    run.close()
    _write_broken(root)
    return root


def _write_full(log_dir):
    run = Run(log_dir)
    run.writer.write_run(0, {"model": "mlp", "layers": [{"path": "dense"}]})
    octaves = np.eye(len(LAYERS), len(schema.HISTOGRAM_COLUMNS), dtype=np.float32)
    times = np.full((1, schema.TIME_STEPS), np.nan, np.float32)
    times[0, :3] = (1, 2, 4)
    for step in STEPS:
        values = matrix(len(LAYERS), step)
        if step == STEPS[-1]:
            values[0, :3] = np.nan, np.inf, -np.inf
        run.record.add("activation", keys(*LAYERS), step, values)
        run.record.add_histogram("activation", step, octaves)
        run.record.add_time_steps("activation", step, keys("dense_1"), times + step)
        run.writer.write_step(step, run.record, ("activation",), {})
        run.step(step, keys("dense:kernel", "dense:bias"), "gradient")
        run.writer.write_metrics(step, {"loss": 2.5 - step / 64, "accuracy": 0.5})
    run.writer.write_prediction(
        0, "activation", keys(*LAYERS), np.array([1.0, 0.5, 0.25])
    )
    histogram = schema.matrix_tag("activation", "histogram")
    columns = list(schema.HISTOGRAM_COLUMNS)
    described = content(kind="histogram", columns=columns)
    run.close()
    write_events(
        log_dir,
        *((step, [events.matrix(histogram, octaves, described)]) for step in STEPS),
        (5, [events.text(schema.FINDINGS_TAG, {"findings": []})]),
        (45, [events.text(schema.FINDINGS_TAG, {"findings": [finding()]})]),
    )


def finding(**others):
    return {
        "rule": "VanishingGradient",
        "severity": "warning",
        "layer": "dense_1",
        "step": 5,
        "measured": float("nan"),
        "threshold": 0.5,
        "message": "it vanishes",
        "remedy": "start elsewhere",
        "reference": "somebody, https://example.org",
        "cleared": None,
        **others,
    }


def _write_parts(log_dir):
    """A run whose rows change at step 20, and that begins anew at step 5 later on."""
    run = Run(log_dir)
    for step in (0, 10):
        run.step(step)
    for step in (20, 30):
        run.step(step, keys("dense", "other"))
    for step in (5, 15):
        run.step(step, keys("dense"))
    run.close()


def _write_rewound(log_dir):
    """Steps 0 10 20, then 10 again and 15, as after a restart."""
    tag = schema.matrix_tag("activation")
    write_events(
        log_dir,
        *(
            (step, [events.matrix(tag, matrix(3, step + shift), content())])
            for step, shift in ((0, 0), (10, 0), (20, 0), (10, 1), (15, 1))
        ),
    )


def _write_deep(root):
    """A run of today, and one as version 1 wrote it."""
    run = Run(root / "deep")
    for step in STEPS:
        run.step(step, keys(*DEEP))
    run.close()
    tag, old = schema.matrix_tag("activation"), content(1, tensors=list(DEEP))
    write_events(
        root / "old",
        *((step, [events.matrix(tag, matrix(len(DEEP), step), old)]) for step in STEPS),
    )


def _write_broken(root):
    tag = schema.matrix_tag("activation")
    values = matrix(3, 0)
    newer = content(schema.DATA_VERSION + 1, tensors="of another form")
    write_events(root / "newer", (0, [events.matrix(tag, values, newer)]))
    write_events(
        root / "malformed",
        (0, [events.matrix(tag, values[:2], content())]),
        (0, [_with_metadata("initkit/gradient", b"{not json")]),
        (0, [_with_metadata("initkit/backprop", b'{"v": "1", "kind": []}')]),
        (0, [_with_metadata("initkit/weight", b"[]")]),
        (0, [events.matrix("initkit/update", values, content(tensors=[1, 2, 3]))]),
        (0, [_packed_wrongly("initkit/preactivation")]),
        (0, [events.matrix(schema.FINDINGS_TAG, values, {"v": 1})]),
        (0, [_with_metadata(schema.RUN_TAG, json.dumps({"v": 1}).encode())]),
    )
    write_events(
        root / "unknown",
        (0, [events.matrix("initkit/aura", values, content(signal="aura"))]),
        (0, [events.matrix("initkit/activation/smell", values, content(kind="smell"))]),
    )
    write_run(root / "truncated")
    (file,) = (root / "truncated" / schema.RECORD_RUN).iterdir()
    file.write_bytes(file.read_bytes()[:-40])
    empty = root / "empty" / schema.RECORD_RUN
    empty.mkdir(parents=True)
    (empty / "events.out.tfevents.1.host.1.1.initkit").write_bytes(b"")


def _packed_wrongly(tag):
    """A packed matrix with a byte changed."""
    tensors = list(DEEP)
    described = content(signal="preactivation", tensors=tensors)
    value = events.packed(tag, matrix(len(DEEP), 0), described)
    packed = bytearray(value.tensor.tensor_content)
    packed[20] ^= 0xFF
    value.tensor.tensor_content = bytes(packed)
    return value


def _with_metadata(tag, metadata):
    value = events.matrix(tag, matrix(3, 0), {})
    value.metadata.plugin_data.content = metadata
    return value
