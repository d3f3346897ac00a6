"""Which runs of a sweep are there already, and what has changed since the others."""

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple

from keras_initkit.experiments.grid import point_name
from keras_initkit.experiments.run_result import RunResult
from keras_initkit.experiments.store import finished, key
from keras_initkit.experiments.store.fingerprint import fingerprint
from keras_initkit.experiments.sweep import Cell, Sweep


class Resumed(NamedTuple):
    """What a sweep goes on from.

    Attributes:
        kept: Results of runs that are there.
        missing: The other runs.
        changed: Of those that are there and run again, the parts of the key that differ
            and how many runs they are of.
        unseen: What the key could not look into, in words.
    """

    kept: list[RunResult]
    missing: list[Cell]
    changed: dict[str, int]
    unseen: tuple[str, ...]


def resume(
    sweep: Sweep, cells: Sequence[Cell], threads: int, fresh: bool = False
) -> Resumed:
    """Tells which of the runs are kept; the others get their keys.

    Args:
        sweep: What all runs share.
        cells: All runs, each with a directory.
        threads: Intra-op threads of each.
        fresh: Whether to keep none.
    """
    shared, unseen = _shared_parts(sweep, threads)
    keyed = [
        dataclasses.replace(cell, key={**shared, **_own_parts(cell)}) for cell in cells
    ]
    if fresh:
        return Resumed([], keyed, {}, unseen)
    changed: dict[str, int] = {}
    found: dict[tuple[str, str], list[tuple[Cell, RunResult, key.Key]]] = {}
    for cell in keyed:
        there = None if cell.directory is None else finished.read(cell.directory)
        if there is None:
            continue
        result, kept = there
        differing = key.changed(kept, cell.key)
        for part in differing:
            changed[part] = changed.get(part, 0) + 1
        if not differing:
            row = cell.label, point_name(cell.shown)
            found.setdefault(row, []).append((cell, result, kept))
    results: dict[tuple[str, str, int], RunResult] = {}
    for group in found.values():
        first, _, kept = group[0]
        differing = key.changed(kept, sweep.key_of_model(first))
        for part in differing:
            changed[part] = changed.get(part, 0) + len(group)
        if not differing:
            results.update({cell.name: result for cell, result, _ in group})
    missing = [cell for cell in keyed if cell.name not in results]
    return Resumed(list(results.values()), missing, changed, unseen)


def _shared_parts(sweep: Sweep, threads: int) -> tuple[dict[str, str], tuple[str, ...]]:
    """Returns the parts of the key that all runs share, and what they do not see."""
    source = fingerprint(sweep.build_model, sweep.callback_factory)
    data = sweep.data
    arrays = fingerprint(data.x_train, data.y_train, data.x_test, data.y_test)
    settings = fingerprint(
        key.settings(
            epochs=sweep.epochs,
            batch_size=sweep.batch_size,
            every=sweep.every,
            threads=threads,
        )
    )
    parts = {
        "source": source.digest,
        "data": arrays.digest,
        "settings": settings.digest,
        "versions": fingerprint(key.versions(source.packages)).digest,
    }
    return parts, (*source.unseen, *settings.unseen)


def _own_parts(cell: Cell) -> dict[str, str]:
    return {
        "initializer": fingerprint(cell.initializer, cell.start).digest,
        "seed": fingerprint(cell.seed).digest,
        "grid": fingerprint(cell.options).digest,
    }
