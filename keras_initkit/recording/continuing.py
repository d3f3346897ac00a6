"""Which runs are written of a model, so that a resumed training continues them.

Monitors tell what they write; a resume point keeps it, and tells when it is resumed.
"""

import contextlib
import dataclasses
import weakref
from collections.abc import Mapping
from typing import Any

from keras_initkit.recording.log.places import RunIdentity

# By log directory, the run and what is recorded of its tensors.
_Runs = dict[str, tuple[RunIdentity, tuple[str, ...]]]
_FULL = ("full",)
_WRITTEN: "weakref.WeakKeyDictionary[Any, _Runs]" = weakref.WeakKeyDictionary()
_RESUMED: "weakref.WeakKeyDictionary[Any, _Runs]" = weakref.WeakKeyDictionary()


def note(
    model: Any, log_dir: str, identity: RunIdentity, details: tuple[str, ...] = _FULL
) -> None:
    """Notes that a training of a model is written to a log directory, as this run.

    Args:
        model: The model.
        log_dir: The directory.
        identity: The run.
        details: What is recorded of its tensors, some of `schema.DETAILS`.
    """
    with contextlib.suppress(TypeError):  # what has no weak references is not resumed
        _WRITTEN.setdefault(model, {})[log_dir] = identity, details


def written(model: Any) -> dict[str, dict[str, Any]]:
    """Returns the runs of a model that are written, as JSON takes them."""
    runs = _WRITTEN.get(model, {})
    return {
        log_dir: {**dataclasses.asdict(identity), "details": list(details)}
        for log_dir, (identity, details) in runs.items()
    }


def resume(model: Any, runs: Mapping[str, Any]) -> None:
    """Has the next `fit` of a model continue what `written` once told.

    Args:
        model: The model.
        runs: What `written` returned; entries that it cannot have are left out.
    """
    known: _Runs = {}
    for log_dir, fields in runs.items():
        with contextlib.suppress(TypeError, ValueError):
            # Resume points of before there were details name none.
            others = {k: v for k, v in fields.items() if k != "details"}
            details = tuple(fields.get("details", _FULL))
            known[log_dir] = RunIdentity.of(others), details
    _RESUMED[model] = known


def resumed(
    model: Any, log_dir: str, details: tuple[str, ...] = _FULL
) -> RunIdentity | None:
    """Returns the run that a training resumes in a log directory; asked once.

    `None` where that was recorded in other details: its matrices have other columns.
    """
    try:
        run, of = _RESUMED.get(model, {}).pop(log_dir, (None, details))
    except TypeError:
        return None
    return run if of == details else None
