"""What the event files hold of the runs, read through TensorBoard's data provider."""

import dataclasses
import functools
import math
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from concurrent import futures
from typing import Any

import numpy as np
from tensorboard import errors
from tensorboard.data import provider
from tensorboard.plugins.hparams import metadata as hparams_metadata

from keras_initkit_light.format import files, packing, running, schema, sealing
from keras_initkit_light.tab import listing
from keras_initkit_light.tab.listing import Run, Series
from keras_initkit_light.tab.parts import (
    Cache,
    Chunks,
    Cut,
    Part,
    Sampling,
    chunks_of,
    parts_of,
    sampled,
)

# More than a tag can hold: the provider's own sampling is random.
_ALL = 10**9
# The metric that Keras reports as a running mean, whatever the model.
_LOSS = "loss"
# What to ask the provider for at once: its replies are limited to 256 MiB, and larger
# ones than this are no faster.
_BATCH_BYTES = 8 * 2**20


class Logs:
    """All runs of an experiment, as they are listed when first asked for.

    Args:
        data_provider: TensorBoard's.
        context: A `RequestContext`.
        experiment: An experiment id.
        cache: Where to keep what was read.
        kept: How many chunks a tag TensorBoard keeps, 0 for all, `None` if unknown.
    """

    def __init__(
        self,
        data_provider: Any,
        context: Any,
        experiment: str,
        cache: Cache,
        kept: int | None = None,
    ):
        self._kept = kept
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
        listed = self._list(schema.PLUGIN_NAME, wanted) if wanted else self._all
        missing = sorted(set(wanted) - set(listed))
        if missing:
            raise errors.NotFoundError(f"No run {missing[0]!r} with data of this tab.")
        return [listing.parse_run(run, listed[run]) for run in sorted(listed)]

    @property
    def stamp(self) -> str:
        """A text that is another one as soon as there is anything new."""
        tags = {
            (plugin, run, tag): one
            for plugin, listed in enumerate((self._all, self._all_hparams))
            for run, tags in listed.items()
            for tag, one in tags.items()
        }
        return listing.stamp_of(tags)

    @functools.cached_property
    def _all(self) -> Mapping[str, Mapping[str, Any]]:
        return self._list(schema.PLUGIN_NAME)

    @functools.cached_property
    def _all_hparams(self) -> Mapping[str, Mapping[str, Any]]:
        return self._list(hparams_metadata.PLUGIN_NAME)

    def statistic(
        self, runs: list[Run], kind: str, signal: str, column: str, sampling: Sampling
    ) -> list[tuple[Run, list[Part]]]:
        """Reads one column of all tensors of a signal, a part per set of tensors.

        A statistic that was also recorded at steps that show norms alone is that of
        all these.
        """

        def choose(run: Run) -> list[Series]:
            kinds = ("norms", kind) if kind == "statistics" else (kind,)
            there = (
                [s for s in _of(run, one, signal) if column in s.columns]
                for one in kinds
            )
            return next(filter(None, there), [])

        def cut(series: Series) -> Cut:
            return Cut(series.tensors, column=series.columns.index(column))

        return [
            (run, parts_of(run, read, cut, sampling))
            for run, read in self._read(runs, choose, sampling)
        ]

    def tensor(
        self, runs: list[Run], kind: str, signal: str, tensor: str, sampling: Sampling
    ) -> list[tuple[Run, list[Part]]]:
        """Reads all columns of one tensor."""

        def choose(run: Run) -> list[Series]:
            return [s for s in _of(run, kind, signal) if tensor in s.tensors]

        def cut(series: Series) -> Cut:
            return Cut(series.columns, row=series.tensors.index(tensor))

        return [
            (run, parts_of(run, read, cut, sampling))
            for run, read in self._read(runs, choose, sampling)
        ]

    def metrics(
        self, runs: list[Run], sampling: Sampling
    ) -> list[tuple[Run, list[Part]]]:
        """Reads the metrics of the monitored steps, a part per set of names.

        The loss is that of the steps between, where the running means that Keras
        reports can be taken apart; a note says where they cannot.
        """
        facts = self.texts(runs, schema.RUN_TAG)

        def choose(run: Run) -> list[Series]:
            return _of(run, "metrics", "")

        def cut(series: Series) -> Cut:
            return Cut(series.columns, row=0)

        every = Sampling(_ALL)
        return [
            (
                run,
                [
                    sampled(_with_step_losses(run, part, facts.get(run.run)), sampling)
                    for same in _by_columns(read)
                    for part in parts_of(run, same, cut, every)
                ],
            )
            for run, read in self._read(runs, choose, every)
        ]

    def texts(self, runs: Iterable[Run], tag: str) -> dict[str, dict[str, Any]]:
        """Reads the newest sealed text under a tag of each run that has one to read."""
        having = {run.run: run for run in runs if tag in run.texts}
        data = self._tensors(having, [tag], 1) if having else {}
        found = {}
        for name, run in having.items():
            try:
                newest = data[name][tag][-1]
                found[name] = sealing.unseal(np.ravel(newest.numpy)[0])
            except (LookupError, TypeError, ValueError):
                run.notes.append(f"{tag}: its newest text cannot be read")
        return found

    def tell_ends(self, runs: list[Run]) -> None:
        """Notes of runs whether their files were closed."""
        having = {run.run for run in runs if schema.FILE_TAG in run.texts}
        tag = schema.FILE_TAG
        read = self._tensors(having, [tag], _ALL) if having else {}
        for run in runs:
            marks, broken = _marks(read.get(run.run, {}))
            run.notes += [f"{tag}: a mark that cannot be read"] * broken
            listing.tell_ends(run, marks, not broken and self._keeps_all(len(marks)))

    def _keeps_all(self, count: int) -> bool:
        """Whether TensorBoard has sampled nothing away of a tag with so many values."""
        return self._kept is not None and (self._kept == 0 or count < self._kept)

    def hparams(self) -> dict[str, dict[str, Any]]:
        """Returns the hyperparameters of every run that has some, by its name."""
        found = {}
        tag = hparams_metadata.SESSION_START_INFO_TAG
        for run, tags in self._all_hparams.items():
            if tag not in tags:
                continue
            try:
                start = hparams_metadata.parse_session_start_info_plugin_data(
                    tags[tag].plugin_content
                )
            except Exception:  # noqa: S112 - whatever another program wrote
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
        """Reads tags of runs, `{run: {tag: data}}`, but for those that are damaged.

        TensorBoard refuses a whole request for one tensor that is not what its shape
        says; what else was asked for is then asked for again.
        """
        try:
            return self._provider.read_tensors(
                plugin_name=schema.PLUGIN_NAME,
                downsample=count,
                run_tag_filter=provider.RunTagFilter(runs=runs, tags=tags),
                **self._where,
            )
        except (ArithmeticError, MemoryError, TypeError, ValueError):
            if len(runs) > 1:
                return _merged(
                    [self._tensors(some, tags, count) for some in _halves(runs)]
                )
            if len(tags) > 1:
                return _merged(
                    [self._tensors(runs, some, count) for some in _halves(tags)]
                )
            return {}

    def _read(
        self,
        runs: Iterable[Run],
        choose: Callable[[Run], list[Series]],
        sampling: Sampling,
    ) -> list[tuple[Run, list[tuple[Series, Chunks]]]]:
        """Reads series of many runs, as many runs at a time as one reply may hold.

        Of two samples the provider needs to read only the last chunk, as the first step
        has a tag of its own.
        """
        chosen = [(run, each) for run in runs if (each := choose(run))]
        all_steps = sampling.all_steps
        found: dict[Any, Chunks] = {}

        def key(run: Run, series: Series) -> Any:
            return self._where["experiment_id"], run.run, series.tag, all_steps

        def version(run: Run, series: Series) -> Any:
            return series, run.marked

        def is_kept(run: Run, series: Series) -> bool:
            kept = self._cache.get(key(run, series), version(run, series))
            if kept is not None:
                found[key(run, series)] = kept
            return kept is not None

        missing = [
            (run, left)
            for run, each in chosen
            if (left := [series for series in each if not is_kept(run, series)])
        ]

        def read(batch: list[tuple[Run, list[Series]]]) -> dict[str, dict[str, Any]]:
            names = {run.run for run, _ in batch}
            tags = {series.tag for _, each in batch for series in each}
            firsts = {s.first for _, each in batch for s in each if s.first is not None}
            # A first step is there once more for each restart; the first is wanted.
            every = firsts | {schema.FILE_TAG}
            counts = {_ALL: every | tags} if all_steps else {_ALL: every, 1: tags}
            return _merged([self._tensors(names, t, n) for n, t in counts.items()])

        batches = list(_batches(missing, all_steps))
        kept = self._kept if all_steps else None
        # While one batch is unpacked, the reader prepares the next.
        with futures.ThreadPoolExecutor(1) as ahead:
            for batch, data in zip(batches, ahead.map(read, batches), strict=True):
                for run, each in batch:
                    of_run = data.get(run.run, {})
                    counted = listing.counted(_marks(of_run)[0])
                    for series in each:
                        n = counted.get(series.tag, 0)
                        chunks = chunks_of(series, of_run, kept, n)
                        found[key(run, series)] = chunks
                        self._cache.put(key(run, series), version(run, series), chunks)
        return [
            (run, [(series, found[key(run, series)]) for series in each])
            for run, each in chosen
        ]


def _with_step_losses(run: Run, part: Part, facts: Any) -> Part:
    """Returns metrics of all recorded steps with the loss of the steps between."""
    if _LOSS not in part.names:
        return part
    column = part.names.index(_LOSS)
    losses = running.taken_apart(
        np.asarray(part.steps), part.values[:, column], running.Epochs.of(facts)
    )
    if losses is None:
        run.notes.append(f"{_LOSS}: running means of each epoch, as they were reported")
        return part
    values = np.array(part.values)
    values[:, column] = losses
    return dataclasses.replace(part, values=values)


def _by_columns(
    read: list[tuple[Series, Chunks]],
) -> Iterable[list[tuple[Series, Chunks]]]:
    """Groups what was read: where steps went back, a later part has the same names."""
    groups: dict[tuple[str, ...], list[tuple[Series, Chunks]]] = {}
    for one in read:
        groups.setdefault(one[0].columns, []).append(one)
    return groups.values()


def _marks(
    data: Mapping[str, Any],
) -> tuple[list[files.Opened | files.Closed], int]:
    """Returns what files say of themselves, of data by tag, and how many cannot."""
    marks, broken = [], 0
    for datum in data.get(schema.FILE_TAG, ()):
        try:
            marks.append(files.unseal_mark(np.ravel(datum.numpy)[0]))
        except (IndexError, TypeError, ValueError):
            broken += 1
    return marks, broken


def _halves(names: Collection[str]) -> list[list[str]]:
    ordered = sorted(names)
    middle = len(ordered) // 2
    return [ordered[:middle], ordered[middle:]]


def _merged(replies: list[Mapping[str, Mapping[str, Any]]]) -> dict[str, Any]:
    """Returns what several replies have of each run, `{run: {tag: data}}`."""
    merged: dict[str, dict[str, Any]] = {}
    for reply in replies:
        for run, tags in reply.items():
            merged.setdefault(run, {}).update(tags)
    return merged


def _batches(
    chosen: list[tuple[Run, list[Series]]], all_steps: bool
) -> Iterator[list[tuple[Run, list[Series]]]]:
    batch: list[tuple[Run, list[Series]]] = []
    total = 0
    for run, series in chosen:
        size = sum(4 * math.prod(s.shape) * _most_steps(s, all_steps) for s in series)
        if batch and total + size > _BATCH_BYTES:
            yield batch
            batch, total = [], 0
        batch.append((run, series))
        total += size
    if batch:
        yield batch


def _most_steps(series: Series, all_steps: bool) -> int:
    return (series.last_step if all_steps else 1) + packing.MOST_STEPS


def _of(run: Run, kind: str, signal: str) -> list[Series]:
    return [s for s in run.series if s.kind == kind and s.signal == signal]
