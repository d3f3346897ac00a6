"""Which runs are written of a model, so that a resumed training continues them.

Monitors tell what they write; a resume point keeps it, and tells when it is resumed.
"""

import contextlib
import dataclasses
import weakref
from collections.abc import Mapping
from typing import Any

from keras_initkit.recording.log.places import RunIdentity

_Runs = dict[str, RunIdentity]
_WRITTEN: "weakref.WeakKeyDictionary[Any, _Runs]" = weakref.WeakKeyDictionary()
_RESUMED: "weakref.WeakKeyDictionary[Any, _Runs]" = weakref.WeakKeyDictionary()


def note(model: Any, log_dir: str, identity: RunIdentity) -> None:
    """Notes that a training of a model is written to a log directory, as this run."""
    with contextlib.suppress(TypeError):  # what has no weak references is not resumed
        _WRITTEN.setdefault(model, {})[log_dir] = identity


def written(model: Any) -> dict[str, dict[str, Any]]:
    """Returns the runs of a model that are written, as JSON takes them."""
    runs = _WRITTEN.get(model, {})
    return {log_dir: dataclasses.asdict(one) for log_dir, one in runs.items()}


def resume(model: Any, runs: Mapping[str, Any]) -> None:
    """Has the next `fit` of a model continue what `written` once told.

    Args:
        model: The model.
        runs: What `written` returned; entries that it cannot have are left out.
    """
    known: _Runs = {}
    for log_dir, fields in runs.items():
        with contextlib.suppress(TypeError, ValueError):
            known[log_dir] = RunIdentity.of(fields)
    _RESUMED[model] = known


def resumed(model: Any, log_dir: str) -> RunIdentity | None:
    """Returns the run that a training resumes in a log directory; asked once."""
    try:
        return _RESUMED.get(model, {}).pop(log_dir, None)
    except TypeError:
        return None
