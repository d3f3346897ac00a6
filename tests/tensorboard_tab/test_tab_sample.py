"""The sample of runs that comes with a clone shows something real at once."""

import pathlib
import re
import runpy

import pytest
import tab_readers

from keras_initkit.recording import RunRecord
from keras_initkit_light.tab import plugin

SAMPLE = pathlib.Path(__file__).parents[2] / "logdir" / "sample"
RUNS = {f"{i}-seed0" for i in ("zero", "random", "slide_xavier", "slide_he")}


@pytest.mark.parametrize("name", tab_readers.READERS)
def test_the_tab_lists_the_runs_of_the_sample(name):
    with tab_readers.READERS[name](SAMPLE, plugin.KEPT_CHUNKS) as provider:
        index = tab_readers.Tab(provider).json("/index")
    assert {run["name"] for run in index["runs"]} == RUNS
    for run in index["runs"]:
        assert run["hparams"]["initializer"] in run["name"]
        assert {"activation", "gradient", "backprop", "weight"} <= {
            series["signal"] for series in run["series"]
        }


def test_the_sample_shows_what_its_page_says():
    def hidden_stds(name):
        record = RunRecord.load(SAMPLE / f"{name}-seed0")
        keys, values = record.profile("activation", "std", step=0)
        return [v for k, v in zip(keys, values, strict=True) if "hidden" in k.layer]

    assert hidden_stds("zero") == [0] * 5
    kept = {name: hidden_stds(name) for name in ("random", "slide_xavier", "slide_he")}
    factors = {name: stds[-1] / stds[0] for name, stds in kept.items()}
    assert factors["slide_xavier"] < factors["slide_he"] < 1
    assert factors["random"] > 50


def test_the_sample_has_histograms_of_more_than_the_first_step():
    for name in RUNS:
        histograms = RunRecord.load(SAMPLE / name).histograms
        assert histograms["activation"].steps.tolist() == [0, 390]


def test_the_sample_is_small_and_tells_nothing_of_the_machine():
    files = [path for path in SAMPLE.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 900_000
    assert_tells_nothing(files)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::keras_initkit.data.StandInWarning")
def test_the_script_writes_such_a_sample(tmp_path):
    path = SAMPLE.parents[1] / "examples" / "refresh_logdir.py"
    main = runpy.run_path(str(path))["main"]
    for _ in range(2):  # the second in place of the first
        main(["--source=standin", "--limit=256", f"--log-dir={tmp_path / 'sample'}"])
    files = [path for path in (tmp_path / "sample").rglob("*") if path.is_file()]
    assert {path.relative_to(tmp_path / "sample").parts[0] for path in files} == RUNS
    assert len(files) == 4 * 4
    assert_tells_nothing([path for path in files if path.name != "run.json"])


def assert_tells_nothing(files):
    for path in files:
        assert re.fullmatch(
            r"run\.json|events\.out\.tfevents\.\d{10}\.(sample|\w{12}\.0001)\.initkit",
            path.name,
        )
        assert not re.search(rb"/(home|root|Users|tmp|var|mnt)/", path.read_bytes())
