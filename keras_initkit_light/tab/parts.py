"""Values cut out of the chunks of a run, and the chunks that were read last."""

import collections
import dataclasses
import itertools
import threading
from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from keras_initkit_light.format import packing
from keras_initkit_light.format.packing import Array
from keras_initkit_light.tab.listing import Run, Series

# Chunks that are kept in memory, packed: five signals of 20 runs x 50 layers x 1,000
# steps.
_KEPT_BYTES = 128 * 2**20


@dataclasses.dataclass(frozen=True)
class Part:
    """Values of one series: `values[i, j]` belongs to `steps[i]` and `names[j]`."""

    names: tuple[str, ...]
    steps: Sequence[int]
    values: Array


class Cut(NamedTuple):
    """What is wanted of matrices, and what the values are then called."""

    names: tuple[str, ...]
    row: packing.Index = slice(None)
    column: int | None = None


class Sampling(NamedTuple):
    """Which steps are wanted.

    Attributes:
        samples: How many at most, evenly spaced, with the first and the last.
        at: The newest step at or before this one is among them, too; `None` for none.
    """

    samples: int
    at: int | None = None

    @property
    def all_steps(self) -> bool:
        """Whether more has to be read than the first step and the newest chunk."""
        return self.samples > 2 or self.at is not None


class Chunks(NamedTuple):
    """What was read of a series: chunks in order, and what was not.

    Attributes:
        whole: The chunks.
        broken: How many chunks cannot be read.
        lost: How many steps between and behind the chunks no chunk holds.
    """

    whole: list[packing.Chunk]
    broken: int
    lost: int = 0

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
        self._kept: collections.OrderedDict[Any, tuple[Any, Chunks]]
        self._kept = collections.OrderedDict()
        self._size = 0
        self._lock = threading.Lock()

    def get(self, key: Any, version: Any) -> Chunks | None:
        """Returns what was put under a key, if it is there and of this version."""
        with self._lock:
            there, chunks = self._kept.get(key, (None, None))
            if there != version:
                return None
            self._kept.move_to_end(key)
            return chunks

    def put(self, key: Any, version: Any, chunks: Chunks) -> None:
        """Keeps chunks, in place of those of another version.

        Those that have not been asked for the longest make room.
        """
        with self._lock:
            self._drop(key)
            self._kept[key] = version, chunks
            self._size += chunks.size
            while self._size > self._most:
                self._drop(next(iter(self._kept)))

    def _drop(self, key: Any) -> None:
        if key in self._kept:
            self._size -= self._kept.pop(key)[1].size


def parts_of(
    run: Run,
    read: Iterable[tuple[Series, Chunks]],
    cut: Callable[[Series], Cut],
    sampling: Sampling,
) -> list[Part]:
    """Cuts what is wanted out of chunks, for series that follow each other."""
    parts: list[Part] = []
    for series, chunks in read:
        wanted = cut(series)
        steps, values, broken = _cut_out(chunks.whole, wanted, sampling)
        if chunks.broken + broken:
            count = chunks.broken + broken
            run.notes.append(f"{series.tag}: {count} chunks that cannot be read")
        if chunks.lost:
            run.notes.append(f"{series.tag}: {chunks.lost} steps that are lost")
        if steps:
            parts = _before(parts, steps[0])
            parts.append(Part(wanted.names, steps, values))
    return parts


def sampled(part: Part, sampling: Sampling) -> Part:
    """Returns a part at the steps that are wanted."""
    chosen = _sampled(np.asarray(part.steps), sampling)
    steps = [part.steps[place] for place in chosen]
    return Part(part.names, steps, part.values[chosen])


def _cut_out(
    chunks: Sequence[packing.Chunk], wanted: Cut, sampling: Sampling
) -> tuple[list[int], Array, int]:
    """Returns steps, what is wanted of them, and how many of their chunks are broken.

    Only chunks with a step among the samples are unpacked.
    """
    own = _own_steps(chunks)
    steps = np.fromiter(itertools.chain.from_iterable(own), np.int64)
    ends = np.cumsum([0, *map(len, own)])
    chosen = _sampled(steps, sampling)
    numbers = np.searchsorted(ends[1:], chosen, side="right")
    contents, broken = {}, 0
    for number in np.unique(numbers).tolist():
        try:
            contents[number] = chunks[number].inflated(wanted.column)
        except ValueError:
            broken += 1
    whole = np.isin(numbers, list(contents))
    chosen, numbers = chosen[whole], numbers[whole]
    values = _gathered(chunks, contents, numbers, chosen - ends[numbers], wanted)
    return steps[chosen].tolist(), values, broken


def _gathered(
    chunks: Sequence[packing.Chunk],
    contents: Mapping[int, tuple[bytes, ...]],
    numbers: Array,
    within: Array,
    wanted: Cut,
) -> Array:
    """Returns the values at places `within` chunks of these numbers, in that order.

    Chunks of one length are unpacked all at once.
    """
    pieces, places = [], []
    for length in {len(chunks[number].steps) for number in contents}:
        alike = [n for n in contents if len(chunks[n].steps) == length]
        unpacked = packing.values(
            [chunks[n] for n in alike],
            [contents[n] for n in alike],
            wanted.row,
            wanted.column,
        )
        here = np.flatnonzero(np.isin(numbers, alike))
        pieces.append(unpacked[np.searchsorted(alike, numbers[here]), within[here]])
        places.append(here)
    if not pieces:
        return np.empty(0)
    return np.concatenate(pieces)[np.argsort(np.concatenate(places))]


def _own_steps(chunks: Sequence[packing.Chunk]) -> list[tuple[int, ...]]:
    """Returns the steps of each chunk, up to where the next one begins.

    Where that is ahead of its end, a restart from an earlier step superseded the rest.
    """
    begins = [chunk.steps[0] for chunk in chunks[1:]]
    return [
        chunk.steps if begin is None else chunk.steps[: bisect_left(chunk.steps, begin)]
        for chunk, begin in itertools.zip_longest(chunks, begins)
    ]


def chunks_of(
    series: Series,
    data: Mapping[str, Any],
    kept: int | None = None,
    counted: int = 0,
) -> Chunks:
    """Returns the chunks of a series, of what was read under its tags.

    Args:
        series: The series.
        data: `{tag: data}` of the provider.
        kept: How many chunks the provider keeps at most; with fewer, none is sampled
            away, and what is not there is lost. `None` where that cannot be told.
        counted: How many steps the newest file with some of it has, if it says so.
    """
    first = data.get(series.first or "", ())
    rest = _in_order(data.get(series.tag, ()))
    # What was sampled away: the first matrix, kept under its own tag.
    sampled_away = not rest or (first and first[0].step < rest[0].step)
    stored = [(series.tag, datum) for datum in rest]
    if series.first is not None and sampled_away:
        stored = [(series.first, datum) for datum in first[:1]] + stored
    whole: list[packing.Chunk] = []
    broken = 0 if rest else 1  # a series that is listed has one
    for tag, datum in stored:
        try:
            whole.append(_unpacked(tag, datum.numpy, series.shape))
        except ValueError:
            broken += 1
    if broken:
        return Chunks(whole, broken)
    lost = max(0, counted - whole[-1].ahead - len(whole[-1].steps))
    if kept is not None and (kept == 0 or len(rest) < kept):  # nothing sampled away
        lost += _lost_between(whole)
    return Chunks(whole, broken, lost)


def _lost_between(chunks: Iterable[packing.Chunk]) -> int:
    """Counts the steps that chunks of whole files should have ahead of them."""
    lost = there = 0
    for chunk in chunks:
        if chunk.ahead > 0:  # else the first of a file
            lost += max(0, chunk.ahead - there)
        there = chunk.ahead + len(chunk.steps)
    return lost


def _unpacked(tag: str, stored: Array, shape: tuple[int, int]) -> packing.Chunk:
    if stored.dtype != np.uint8:
        raise ValueError(f"`stored` must be bytes. Received: dtype={stored.dtype}")
    return packing.unpack(tag, stored.tobytes(), *shape)


def _in_order(data: Sequence[Any]) -> list[Any]:
    """Returns the data without those that a restart from an earlier step superseded.

    The readers differ here: one drops them by itself, the other hands out everything in
    the order of the file.
    """
    kept: list[Any] = []
    for datum in data:
        while kept and kept[-1].step >= datum.step:
            kept.pop()
        kept.append(datum)
    return kept


def _before(parts: Iterable[Part], step: int) -> list[Part]:
    """Returns what is left of `parts` where another part begins at `step`."""
    left = []
    for part in parts:
        count = int(np.searchsorted(part.steps, step))
        if count:
            left.append(Part(part.names, part.steps[:count], part.values[:count]))
    return left


def _sampled(steps: Array, sampling: Sampling) -> Array:
    """Returns the places of the chosen ones of ascending steps."""
    chosen = _spread(len(steps), sampling.samples)
    if sampling.at is None:
        return chosen
    there = np.searchsorted(steps, sampling.at, side="right")
    return np.union1d(chosen, [there - 1] if there else []).astype(int)


def _spread(count: int, samples: int) -> Array:
    """Returns at most `samples` of the first integers, evenly spaced, both ends."""
    if count <= samples:
        return np.arange(count)
    return np.unique(np.linspace(0, count - 1, samples).round().astype(int))
