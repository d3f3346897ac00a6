"""Engines: where runs are computed. Each gives futures of the standard library."""

from keras_initkit.experiments.engines.choosing import (
    ENGINES,
    Engine,
    check_engine,
    check_jobs,
    engine_of,
)

__all__ = ["engine_of", "check_jobs", "check_engine", "Engine", "ENGINES"]
