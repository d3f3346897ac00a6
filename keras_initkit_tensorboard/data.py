"""What the event files hold of the runs, read through TensorBoard's data provider.

Nothing here trusts a file: what cannot be read, or was written by another version, is
left out and named in the notes of its run.
"""

import collections
import dataclasses
import itertools
import json
import math
import re
import threading
from bisect import bisect_left
from collections.abc import (
    Callable,
    Collection,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from concurrent import futures
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from tensorboard import errors
from tensorboard.data import provider
from tensorboard.plugins.hparams import metadata as hparams_metadata

from keras_initkit_tensorboard import packing, schema

# Kinds of matrices whose rows are tensors.
KINDS = ("statistics", "histogram", "time", "prediction")
# More than a tag can hold: the provider's own sampling is random.
_ALL = 10**9
# What to ask the provider for at once: its replies are limited to 256 MiB, and larger
# ones than this are no faster.
_BATCH_BYTES = 8 * 2**20
# Chunks that are kept in memory, packed: five signals of 20 runs x 50 layers x 1,000
# steps.
_KEPT_BYTES = 128 * 2**20
_PART = re.compile(r"#(\d{1,6})(?=/|@|$)")

Array: TypeAlias = "np.ndarray[Any, Any]"


@dataclasses.dataclass(frozen=True)
class Series:
    """The matrices under one tag of one run.

    Attributes:
        tag: The tag.
        kind: One of `KINDS`, or `"metrics"`.
        signal: Name of the signal; `""` for metrics.
        part: 0, or n where the rows of the signal changed for the n-th time.
        tensors: Labels of the rows, in forward order.
        columns: Names of the columns.
        last_step: The step that the newest chunk begins with.
        last_time: Wall time of the newest.
        first: Tag that holds the first matrix once more, `None` if there is none.
    """

    tag: str
    kind: str
    signal: str
    part: int
    tensors: tuple[str, ...]
    columns: tuple[str, ...]
    last_step: int
    last_time: float
    first: str | None = None

    @property
    def tags(self) -> tuple[str, ...]:
        """All tags that its matrices stand under."""
        return (self.tag,) if self.first is None else (self.first, self.tag)

    @property
    def shape(self) -> tuple[int, int]:
        """The shape of each of its matrices."""
        return len(self.tensors), len(self.columns)


@dataclasses.dataclass
class Run:
    """What one run holds, values apart.

    Attributes:
        run: Its name for TensorBoard, such as `"mlp/initkit"`.
        series: All matrices, parts of a signal in order.
        texts: Tags of the JSON texts, of `schema.RUN_TAG` and `schema.FINDINGS_TAG`.
        notes: What could not be read, and why.
    """

    run: str
    series: list[Series] = dataclasses.field(default_factory=list)
    texts: set[str] = dataclasses.field(default_factory=set)
    notes: list[str] = dataclasses.field(default_factory=list)

    @property
    def name(self) -> str:
        """The name a reader knows: that of the directory the monitor was given."""
        if self.run == schema.RECORD_RUN:
            return "."
        return self.run.removesuffix(f"/{schema.RECORD_RUN}")


@dataclasses.dataclass(frozen=True)
class Part:
    """Values of one series: `values[i, j]` belongs to `steps[i]` and `names[j]`."""

    names: tuple[str, ...]
    steps: Sequence[int]
    values: Array


class _Cut(NamedTuple):
    """What is wanted of matrices, and what the values are then called."""

    names: tuple[str, ...]
    row: packing.Index = slice(None)
    column: int | None = None


class _Chunks(NamedTuple):
    """What was read of a series: chunks in order, and how many were broken."""

    whole: list[packing.Chunk]
    broken: int

    @property
    def size(self) -> int:
        """Bytes."""
        return sum(len(stream) for chunk in self.whole for stream in chunk.streams)


class Cache:
    """What was read last, so that the next statistic of a signal is there at once.

    Args:
        most: Bytes of chunks that are kept.
    """

    def __init__(self, most: int = _KEPT_BYTES):
        self._most = most
        self._kept: collections.OrderedDict[Any, _Chunks] = collections.OrderedDict()
        self._size = 0
        self._lock = threading.Lock()

    def get(self, key: Any) -> _Chunks | None:
        """Returns what was put under a key, if it is still there."""
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
            return self._kept.get(key)

    def put(self, key: Any, chunks: _Chunks) -> None:
        """Keeps chunks; those that have not been asked for the longest make room."""
        with self._lock:
            self._drop(key)
            self._kept[key] = chunks
            self._size += chunks.size
            while self._size > self._most:
                self._drop(next(iter(self._kept)))

    def _drop(self, key: Any) -> None:
        if key in self._kept:
            self._size -= self._kept.pop(key).size


class Logs:
    """All runs of an experiment.

    Args:
        data_provider: TensorBoard's.
        context: A `RequestContext`.
        experiment: An experiment id.
        cache: Where to keep what was read.
    """

    def __init__(self, data_provider: Any, context: Any, experiment: str, cache: Cache):
        self._provider = data_provider
        self._where = {"ctx": context, "experiment_id": experiment}
        self._cache = cache

    def runs(self, wanted: Collection[str] = ()) -> list[Run]:
        """Lists the runs that hold anything of ours, sorted by name.

        Args:
            wanted: Names for TensorBoard of the only runs to list; empty means all.

        Raises:
            NotFoundError: If a wanted run does not exist.
        """
        listing = self._list(schema.PLUGIN_NAME, wanted)
        missing = sorted(set(wanted) - set(listing))
        if missing:
            raise errors.NotFoundError(f"No run {missing[0]!r} with data of this tab.")
        return [_parse_run(run, listing[run]) for run in sorted(listing)]

    def statistic(
        self, runs: list[Run], kind: str, signal: str, column: str, samples: int
    ) -> list[tuple[Run, list[Part]]]:
        """Reads one column of all tensors of a signal, a part per set of tensors."""

        def choose(run: Run) -> list[Series]:
            return [s for s in _of(run, kind, signal) if column in s.columns]

        def cut(series: Series) -> _Cut:
            return _Cut(series.tensors, column=series.columns.index(column))

        return [
            (run, _parts(run, read, cut, samples))
            for run, read in self._read(runs, choose, samples)
        ]

    def tensor(
        self, runs: list[Run], kind: str, signal: str, tensor: str, samples: int
    ) -> list[tuple[Run, list[Part]]]:
        """Reads all columns of one tensor."""

        def choose(run: Run) -> list[Series]:
            return [s for s in _of(run, kind, signal) if tensor in s.tensors]

        def cut(series: Series) -> _Cut:
            return _Cut(series.columns, row=series.tensors.index(tensor))

        return [
            (run, _parts(run, read, cut, samples))
            for run, read in self._read(runs, choose, samples)
        ]

    def metrics(self, runs: list[Run], samples: int) -> list[tuple[Run, list[Part]]]:
        """Reads the metrics of the monitored steps, a part per set of names."""
        return [
            (run, [p for one in read for p in _parts(run, [one], _only_row, samples)])
            for run, read in self._read(
                runs, lambda run: _of(run, "metrics", ""), samples
            )
        ]

    def text(self, run: Run, tag: str) -> Any:
        """Reads the newest JSON text under a tag; `None` if there is none to read."""
        if tag not in run.texts:
            return None
        data = self._tensors([run.run], [tag], 1).get(run.run, {}).get(tag, ())
        try:
            return json.loads(np.ravel(data[-1].numpy)[0])
        except (IndexError, TypeError, ValueError):
            run.notes.append(f"{tag}: not the JSON text it should be")
            return None

    def hparams(self) -> dict[str, dict[str, Any]]:
        """Returns the hyperparameters of every run that has some, by its name."""
        found = {}
        tag = hparams_metadata.SESSION_START_INFO_TAG
        for run, tags in self._list(hparams_metadata.PLUGIN_NAME).items():
            if tag not in tags:
                continue
            try:
                start = hparams_metadata.parse_session_start_info_plugin_data(
                    tags[tag].plugin_content
                )
            except Exception:  # whatever another program wrote
                continue
            found[run] = {
                name: getattr(value, value.WhichOneof("kind") or "string_value")
                for name, value in start.hparams.items()
            }
        return found

    def _list(
        self, plugin: str, runs: Collection[str] = ()
    ) -> Mapping[str, Mapping[str, Any]]:
        chosen = provider.RunTagFilter(runs=runs or None)
        return self._provider.list_tensors(
            plugin_name=plugin, run_tag_filter=chosen, **self._where
        )

    def _tensors(
        self, runs: Collection[str], tags: Collection[str], count: int
    ) -> Mapping[str, Mapping[str, Any]]:
        return self._provider.read_tensors(
            plugin_name=schema.PLUGIN_NAME,
            downsample=count,
            run_tag_filter=provider.RunTagFilter(runs=runs, tags=tags),
            **self._where,
        )

    def _read(
        self,
        runs: Iterable[Run],
        choose: Callable[[Run], list[Series]],
        samples: int,
    ) -> list[tuple[Run, list[tuple[Series, _Chunks]]]]:
        """Reads series of many runs, as many runs at a time as one reply may hold.

        Of two samples the provider needs to read only the last chunk, as the first step
        has a tag of its own.
        """
        chosen = [(run, each) for run in runs if (each := choose(run))]
        all_steps = samples > 2
        found: dict[Any, _Chunks] = {}

        def key(run: Run, series: Series) -> Any:
            return self._where["experiment_id"], run.run, series, all_steps

        def is_kept(run: Run, series: Series) -> bool:
            kept = self._cache.get(key(run, series))
            if kept is not None:
                found[key(run, series)] = kept
            return kept is not None

        missing = [
            (run, left)
            for run, each in chosen
            if (left := [series for series in each if not is_kept(run, series)])
        ]

        def read(batch: list[tuple[Run, list[Series]]]) -> Mapping[str, Any]:
            return self._tensors(
                {run.run for run, _ in batch},
                {tag for _, each in batch for series in each for tag in series.tags},
                _ALL if all_steps else 1,
            )

        batches = list(_batches(missing, all_steps))
        # While one batch is unpacked, the reader prepares the next.
        with futures.ThreadPoolExecutor(1) as ahead:
            for batch, data in zip(batches, ahead.map(read, batches), strict=True):
                for run, each in batch:
                    for series in each:
                        chunks = _chunks(series, data.get(run.run, {}))
                        found[key(run, series)] = chunks
                        self._cache.put(key(run, series), chunks)
        return [
            (run, [(series, found[key(run, series)]) for series in each])
            for run, each in chosen
        ]


def _batches(
    chosen: list[tuple[Run, list[Series]]], all_steps: bool
) -> Iterator[list[tuple[Run, list[Series]]]]:
    batch: list[tuple[Run, list[Series]]] = []
    total = 0
    for run, series in chosen:
        size = sum(
            4 * math.prod(s.shape) * (s.last_step + 1 if all_steps else 2)
            for s in series
        )
        if batch and total + size > _BATCH_BYTES:
            yield batch
            batch, total = [], 0
        batch.append((run, series))
        total += size
    if batch:
        yield batch


def _parts(
    run: Run,
    read: Iterable[tuple[Series, _Chunks]],
    cut: Callable[[Series], _Cut],
    samples: int,
) -> list[Part]:
    """Cuts what is wanted out of chunks, for series that follow each other."""
    parts: list[Part] = []
    for series, chunks in read:
        wanted = cut(series)
        steps, pieces, broken = _cut_out(chunks, wanted)
        if broken:
            run.notes.append(f"{series.tag}: {broken} chunks that cannot be read")
        if not steps:
            continue
        parts = _before(parts, steps[0])
        chosen = _spread(len(steps), samples)
        values = np.concatenate(pieces)[chosen]
        parts.append(Part(wanted.names, [steps[i] for i in chosen], values))
    return parts


def _cut_out(chunks: _Chunks, wanted: _Cut) -> tuple[list[int], list[Array], int]:
    """Returns the steps, what is wanted of them, and how many chunks are broken.

    Where a chunk begins ahead of the end of another, a restart from an earlier step has
    superseded the rest of that.
    """
    steps: list[int] = []
    pieces: list[Array] = []
    broken = chunks.broken
    ends = [chunk.steps[0] for chunk in chunks.whole[1:]]
    for chunk, end in itertools.zip_longest(chunks.whole, ends):
        kept = len(chunk.steps) if end is None else bisect_left(chunk.steps, end)
        try:
            pieces.append(chunk.values(wanted.row, wanted.column)[:kept])
            steps += chunk.steps[:kept]
        except ValueError:
            broken += 1
    return steps, pieces, broken


def _chunks(series: Series, data: Mapping[str, Any]) -> _Chunks:
    """Returns the chunks of a series, of what was read under its tags."""
    first, others = data.get(series.first or "", ()), data.get(series.tag, ())
    whole: list[packing.Chunk] = []
    broken = 0
    for datum in _in_order(first, others):
        try:
            whole.append(_unpacked(datum.numpy, series.shape))
        except ValueError:
            broken += 1
    return _Chunks(whole, broken)


def _unpacked(stored: Array, shape: tuple[int, int]) -> packing.Chunk:
    if stored.dtype != np.uint8:
        raise ValueError(f"`stored` must be bytes. Received: dtype={stored.dtype}")
    return packing.unpack(stored.tobytes(), *shape)


def _only_row(series: Series) -> _Cut:
    return _Cut(series.columns, row=0)


def _of(run: Run, kind: str, signal: str) -> list[Series]:
    return [s for s in run.series if s.kind == kind and s.signal == signal]


def _parse_run(name: str, tags: Mapping[str, Any]) -> Run:
    run = Run(name)
    for tag, listed in sorted(tags.items()):
        if tag.endswith(schema.FIRST_SUFFIX):
            continue
        try:
            content = json.loads(listed.plugin_content)
            version = content["v"]
            if version != schema.DATA_VERSION:
                age = "a newer" if version > schema.DATA_VERSION else "an older"
                run.notes.append(
                    f"{tag}: written by {age} keras_initkit (data version {version}, "
                    f"this tab reads {schema.DATA_VERSION})"
                )
            elif "kind" in content:
                run.series += _parse_series(tag, content, tags)
            else:
                run.texts.add(tag)
        except (KeyError, TypeError, ValueError):
            run.notes.append(f"{tag}: its description cannot be read")
    run.series.sort(key=lambda s: (s.kind, s.signal, s.part))
    return run


def _parse_series(
    tag: str, content: Mapping[str, Any], tags: Mapping[str, Any]
) -> list[Series]:
    """Returns the series that `content` describes, none for kinds of other versions."""
    kind = content["kind"]
    signal = "" if kind == "metrics" else content["signal"]
    if signal and (kind not in KINDS or signal not in schema.SIGNALS):
        return []
    part = _PART.search(tag)
    first = tag + schema.FIRST_SUFFIX
    return [
        Series(
            tag,
            kind,
            signal,
            int(part[1]) if part else 0,
            _strings(content["tensors"]),
            _strings(content["columns"]),
            tags[tag].max_step,
            tags[tag].max_wall_time,
            first if first in tags else None,
        )
    ]


def _strings(values: Any) -> tuple[str, ...]:
    if not isinstance(values, list) or not all(isinstance(v, str) for v in values):
        raise ValueError("`values` must be a list of strings.")
    return tuple(values)


def _in_order(first: Sequence[Any], data: Sequence[Any]) -> list[Any]:
    """Returns the data without those that a restart from an earlier step superseded.

    The readers differ here: one drops them by itself, the other hands out everything in
    the order of the file.
    """
    kept: list[Any] = []
    for datum in data:
        while kept and kept[-1].step >= datum.step:
            kept.pop()
        kept.append(datum)
    # What was sampled away: the first matrix, kept under its own tag.
    return [d for d in first[:1] if not kept or d.step < kept[0].step] + kept


def _before(parts: Iterable[Part], step: int) -> list[Part]:
    """Returns what is left of `parts` where another part begins at `step`."""
    left = []
    for part in parts:
        count = int(np.searchsorted(part.steps, step))
        if count:
            left.append(Part(part.names, part.steps[:count], part.values[:count]))
    return left


def _spread(count: int, samples: int) -> Array:
    """Returns at most `samples` of the first integers, evenly spaced, both ends."""
    if count <= samples:
        return np.arange(count)
    return np.unique(np.linspace(0, count - 1, samples).round().astype(int))
