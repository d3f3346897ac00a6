"""A file of `keras_initkit_light/stats` is a statistic, and none leans on another."""

import pathlib
import shutil
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from keras_initkit import schema, stats
from keras_initkit.stats import _finalize
from keras_initkit_light import stats as files

X = np.random.default_rng(0).standard_normal((16, 6)).astype(np.float32)
X[:, 0] = 0.0


@pytest.mark.parametrize("name", schema.STATISTICS)
def test_a_statistic_is_a_file_of_its_name(name):
    statistic = schema.STATISTICS[name]
    assert statistic.name == name
    assert (pathlib.Path(files.__file__).parent / f"{name}.py").exists()
    assert statistic.finish.__module__ == f"{files.__name__}.{name}"


def test_units_are_dead_whether_or_not_they_are_compared():
    reduction = stats.Reduction(counted_above=0)
    found = stats.reduce([tf.constant(X), tf.constant(X[0])], [reduction] * 2)
    layout = stats.Layout.of_moments(2)._replace(
        has_units=np.array([True, False]), counted=np.array([6, 6])
    )
    values = stats.finalize(
        found["scalars"].numpy(), layout, counts=found["counts"].numpy()
    )
    dead = values[:, list(schema.STATISTICS).index("dead_fraction")]
    np.testing.assert_allclose(dead, [1 / 6, np.nan])


def test_it_is_said_of_each_partial_how_parts_are_merged():
    assert {*_finalize.MERGED, "mean", "m2"} == set(stats.PARTIALS)


@pytest.mark.parametrize(
    ("signal", "rank", "expected"),
    [
        ("activation", 3, stats.Reduction(0, 1024, 0, True, True)),
        ("activation", 2, stats.Reduction(0, 1024, 0, True, False)),
        ("preactivation", 2, stats.Reduction(2.0, 0)),
        ("backprop", 3, stats.Reduction(None, 0, timed=True)),
        ("weight", 2, stats.Reduction(0, 16384)),
        ("weight", 1, stats.Reduction(0, 0)),
        ("update", 2, stats.Reduction(0, 0)),
    ],
)
def test_the_device_computes_what_statistics_of_the_signal_need(signal, rank, expected):
    limit = 2.0 if signal == "preactivation" else None
    assert stats.reduction_of(signal, rank, limit) == expected


def test_a_file_that_is_put_there_is_a_statistic(tmp_path):
    """In a copy of the package, with nothing else changed."""
    package = pathlib.Path(files.__file__).parent.parent
    copy = tmp_path / package.name
    shutil.copytree(package, copy)
    shutil.copytree(
        package.with_name("keras_initkit"), tmp_path / "keras_initkit", symlinks=True
    )
    text = (package / "stats" / "max.py").read_text()
    text = text.replace('"max"', '"reach"').replace("maximum(p", "reach(p")
    text = text.replace("finish=maximum", "finish=reach")
    text = text.replace("partials.max + 0.0", "partials.max - partials.min + 0.0")
    (copy / "stats" / "reach.py").write_text(text)
    program = (
        "import numpy as np, tensorflow as tf\n"
        "from keras_initkit import schema, stats\n"
        "found = stats.reduce([tf.constant([[1.0, 4.0]])], [stats.Reduction()])\n"
        "layout = stats.Layout.of_moments(1)\n"
        "values = stats.finalize(found['scalars'].numpy(), layout)\n"
        "print(schema.statistics_of('update')[-1], values[0, -1])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == "reach 3.0\n", done.stderr
