"""Runs for the tests of the tab: written by the real writer, or broken on purpose."""

import json

import numpy as np

from keras_initkit import schema
from keras_initkit.recording import RunRecord, RunWriter
from keras_initkit.recording.log import events, hparams, places
from keras_initkit_light.format import files, packing, sealing
from keras_initkit_light.format.described import Described

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

    def __init__(self, log_dir, resumed=False):
        self.log_dir = log_dir
        self.record = RunRecord()
        continued = (lambda: _newest(log_dir)) if resumed else (lambda: None)
        self.writer = RunWriter(log_dir, continued)

    def step(self, step, tensors=None, signal="activation"):
        tensors = keys(*LAYERS) if tensors is None else tensors
        values = matrix(len(tensors), step, signal)
        self.record.add(signal, tensors, step, values)
        self.writer.write_step(step, self.record, (signal,), {})

    def close(self):
        self.writer.close()
        return self.record


def write_run(log_dir, steps=STEPS, resumed=False):
    run = Run(log_dir, resumed)
    for step in steps:
        run.step(step)
    return run.close()


def write_events(log_dir, *values_by_step):
    """Writes `(step, [values])` as they are to the part of a run that the tab reads."""
    file = events.EventFile(places.Place(str(log_dir), lambda: _newest(log_dir)))
    for step, values in values_by_step:
        file.write(step, values)
    file.close()


def _newest(log_dir):
    """The run that was written there last, to be continued."""
    runs = RunRecord.runs(log_dir)
    return places.RunIdentity(runs[-1].id, runs[-1].log_dir, 1) if runs else None


def described(**others):
    fields = {
        "kind": "statistics",
        "signal": "activation",
        "tensors": LAYERS,
        "columns": schema.statistics_of("activation"),
    }
    return Described(**{**fields, **others})


def chunk(tag, values, described, *steps):
    """Matrices of some steps, all the same, as an event holds them."""
    return events.chunk(tag, 0, steps, np.stack([values] * len(steps)), described)


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
    of_octaves = described(kind="histogram", columns=schema.HISTOGRAM_COLUMNS)
    run.close()
    write_events(
        log_dir,
        *((step, [chunk(histogram, octaves, of_octaves, step)]) for step in STEPS),
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
    """Steps 0, then 5 10 20, then 10 again and 15, as after a restart."""
    tag = schema.matrix_tag("activation")
    parts = [((0,), 0), ((5, 10, 20), 0), ((10, 15), 1)]
    values = [
        (steps, np.stack([matrix(3, step + shift) for step in steps]))
        for steps, shift in parts
    ]
    write_events(
        log_dir,
        *(
            (steps[0], [events.chunk(tag, 0, steps, stacked, described())])
            for steps, stacked in values
        ),
    )


def _write_deep(root):
    """A run of two chunks, one of a chunk a step, and one of data version 2."""
    run = Run(root / "deep")
    for step in STEPS:
        run.step(step, keys(*DEEP))
    run.close()
    run = Run(root / "slow")
    for step in STEPS:
        run.step(step)
        run.writer.close()
    write_events(root / "old", (0, [_of_version(2)]))


def _of_version(version):
    """A chunk as another version wrote it."""
    tag = schema.matrix_tag("activation")
    value = chunk(tag, matrix(3, 0), described(), 0)
    content = {"v": version, "kind": "statistics", "tensors": "of another form"}
    value.metadata.plugin_data.content = json.dumps(content).encode()
    return value


def _write_broken(root):
    tag = schema.matrix_tag("activation")
    values = matrix(3, 0)
    write_events(root / "newer", (0, [_of_version(schema.DATA_VERSION + 1)]))
    no_list = described(signal="update", tensors=(1, 2, 3))
    no_rows = described(kind="metrics", signal="", tensors=())
    no_text = _with_metadata(schema.FINDINGS_TAG, events._TEXT)
    no_json = _with_metadata(schema.RUN_TAG, events._TEXT)
    no_json.tensor.string_val.append(b"{no json")
    write_events(
        root / "malformed",
        (0, [chunk(tag, values[:2], described(), 0)]),
        (0, [_with_metadata("initkit/gradient", b"{not json")]),
        (0, [_with_metadata("initkit/backprop", b'{"v": "1", "kind": []}')]),
        (0, [_with_metadata("initkit/weight", b"[]")]),
        (0, [_with_metadata("initkit/signal", sealing.seal({"kind": []}))]),
        (0, [_with_metadata("initkit/metrics", no_rows.sealed())]),
        (0, [chunk("initkit/update", values, no_list, 0)]),
        (0, [_packed_wrongly("initkit/preactivation")]),
        (0, [no_text]),
        (0, [no_json]),
    )
    aura, smell = described(signal="aura"), described(kind="smell")
    write_events(
        root / "unknown",
        (0, [chunk("initkit/aura", values, aura, 0)]),
        (0, [chunk("initkit/activation/smell", values, smell, 0)]),
    )
    _write_truncated(root / "truncated")
    (root / "empty").mkdir()
    name = files.LogFile.next("0" * 12, 1, ()).name
    (root / "empty" / name).write_bytes(b"")


def _write_truncated(log_dir):
    """A run of three chunks, of which the last is cut off."""
    run = Run(log_dir)
    for step in range(2 + packing.MOST_STEPS):
        run.step(step)
    run.close()
    (file,) = log_dir.glob("*tfevents*")
    whole = file.read_bytes()
    end = whole.rindex(schema.FILE_TAG.encode())
    file.write_bytes(whole[: whole.rindex(b"initkit/activation", 0, end) + 40])


def _packed_wrongly(tag):
    """A chunk whose streams are broken."""
    value = chunk(
        tag, matrix(len(DEEP), 0), described(signal="preactivation", tensors=DEEP), 0
    )
    packed = value.tensor.tensor_content
    value.tensor.tensor_content = packed[:200] + bytes(len(packed) - 200)
    return value


def _with_metadata(tag, metadata):
    value = chunk(tag, matrix(3, 0), described(), 0)
    value.metadata.plugin_data.content = metadata
    return value
