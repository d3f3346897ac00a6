"""What is measured: the signals that are tapped, and a file for each statistic of them.

A file here that defines `STATISTIC` is a statistic: it says what it means, what the
device has to compute for it, and how it is finished. Numpy only.
"""

import importlib
import pkgutil

from keras_initkit_light.stats.definition import Statistic

# In this order they are stored and shown; others come behind, by name.
_ORDER = (
    "mean",
    "std",
    "rms",
    "norm",
    "min",
    "max",
    "zero_fraction",
    "nonfinite_count",
    "dead_fraction",
    "saturation_fraction",
    "distinct_units",
    "effective_rank",
    "update_to_weight_ratio",
)


def _all() -> dict[str, Statistic]:
    files = [importlib.import_module(f"{__name__}.{one.name}") for one in _files()]
    found = {
        file.STATISTIC.name: file.STATISTIC
        for file in files
        if hasattr(file, "STATISTIC")
    }
    others = sorted(found.keys() - set(_ORDER))
    return {name: found[name] for name in (*_ORDER, *others)}


def _files() -> list[pkgutil.ModuleInfo]:
    return list(pkgutil.iter_modules(__path__))


STATISTICS = _all()
