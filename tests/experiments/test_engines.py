"""Real processes, Ray and Dask clusters: the same table, whatever dies on the way."""

import json
import os
import pathlib
import signal
import sys
import threading
import time

import numpy as np
import pytest

import keras_initkit as kik
from keras_initkit.experiments import engines
from keras_initkit.experiments.engines import loky_processes
from keras_initkit.experiments.store import finished

joblib = pytest.importorskip("joblib", reason="needs keras-initkit[sweep]")
cloudpickle = pytest.importorskip("cloudpickle", reason="needs keras-initkit[sweep]")

# Clusters start once, in one process of the tests.
pytestmark = [
    pytest.mark.xdist_group("engines"),
    # Ray and Dask, when their processes end.
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]
NAMES = ["he", "zeros", "lsuv"]
SETTINGS = dict(seeds=2, epochs=2, batch_size=4)


def table(comparison):
    rows = [{**row, "seconds": None} for row in comparison.to_dict()["table"]]
    return json.dumps([rows, comparison.verdict.to_dict()])


@pytest.fixture(scope="module")
def here():
    return kik.compare("xor_mlp", "xor", NAMES, **SETTINGS)


@pytest.fixture(scope="module")
def ray_cluster():
    ray = pytest.importorskip("ray")
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    yield ray
    ray.shutdown()


@pytest.fixture(scope="module")
def dask_cluster():
    distributed = pytest.importorskip("dask.distributed")
    with distributed.Client(
        n_workers=2, threads_per_worker=2, dashboard_address=None
    ) as client:
        yield client


def agrees(here, **where):
    there = kik.compare("xor_mlp", "xor", NAMES, **SETTINGS, **where)
    assert table(there) == table(here)
    assert {run.threads for run in there.runs} == {run.threads for run in here.runs}
    for one, other in zip(here.runs, there.runs, strict=True):
        assert one.record.diff(other.record).first is None


def test_processes_give_the_table_of_one_process(here, tmp_path):
    agrees(here, n_jobs=2, log_dir=tmp_path)
    again = kik.compare("xor_mlp", "xor", NAMES, log_dir=tmp_path, **SETTINGS)
    assert again.kept == len(here.runs)  # whatever computed them


def test_ray_gives_the_table_of_one_process(here, ray_cluster, tmp_path):
    agrees(here, engine="ray", log_dir=tmp_path)
    with joblib.parallel_config(backend="ray"):  # which is registered now
        assert type(engines.engine_of(None, 2)).__name__ == "RayEngine"


def test_dask_gives_the_table_of_one_process(here, dask_cluster):
    with joblib.parallel_config(backend="dask"):
        agrees(here, n_jobs=-1)
    assert engines.engine_of("dask", None).size == 2


def test_threads_of_joblib_give_the_table_of_one_process(here):
    with joblib.parallel_config(backend="threading"):
        assert type(engines.engine_of(None, 2)).__name__ == "JoblibEngine"
        agrees(here, n_jobs=2)


class Dying:
    """Builds a model, or ends its process: at its first run, or each time."""

    __name__ = "dying"

    def __init__(self, folder, often):
        self.folder, self.often = folder, often
        self.parent = os.getpid()

    def __call__(self, initializer, seed):
        if seed == 1 and os.getpid() != self.parent:
            file = self.folder / f"died-{time.time_ns()}"
            if self.often or not list(self.folder.glob("died-*")):
                file.touch()
                os.kill(os.getpid(), signal.SIGKILL)
        return kik.models.build("xor_mlp", {"class_name": "Zeros"}, seed=seed)


def dying(folder, often, **where):
    folder.mkdir()
    # The processes of a cluster need not find this module.
    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    try:
        return kik.compare(
            Dying(folder, often), "xor", ["zeros"], seeds=3, epochs=1, **where
        )
    finally:
        cloudpickle.unregister_pickle_by_value(sys.modules[__name__])


@pytest.mark.slow
def test_runs_whose_process_dies_once_run_again(tmp_path):
    found = dying(tmp_path / "a", often=False, n_jobs=2)
    assert [run.seed for run in found.runs] == [0, 1, 2]
    assert found.lost == []


def test_a_run_whose_process_dies_twice_is_told(tmp_path):
    found = dying(tmp_path / "a", often=True, n_jobs=2)
    assert [run.seed for run in found.runs] == [0, 2]
    (lost,) = found.lost
    assert (lost.initializer, lost.seed) == ("zeros", 1)
    assert lost.reason.startswith("its process died twice (")
    assert f"zeros, seed 1: no result, because {lost.reason}" in str(found)
    assert len(list((tmp_path / "a").glob("died-*"))) == 2
    assert found.to_dict()["lost"][0]["seed"] == 1


@pytest.mark.slow
def test_rays_tasks_that_die_are_told(tmp_path, ray_cluster):
    found = dying(tmp_path / "a", often=True, engine="ray")
    assert [run.seed for run in found.runs] == [0, 2]
    assert [one.seed for one in found.lost] == [1]


@pytest.mark.slow
def test_dasks_tasks_that_die_are_told(tmp_path, dask_cluster):
    found = dying(tmp_path / "a", often=False, engine="dask")
    assert [run.seed for run in found.runs] == [0, 1, 2]


def test_processes_end_with_their_parent(monkeypatch):
    from keras_initkit.experiments import jobs

    ended = threading.Event()
    monkeypatch.setattr(os, "_exit", lambda code: ended.set())
    monkeypatch.setattr(jobs, "_WATCH", 0.01)
    parents = iter([7, 7, 1])
    monkeypatch.setattr(os, "getppid", lambda: next(parents, 1))
    jobs._end_with.__wrapped__(7)
    assert ended.wait(10)


def test_a_process_maps_what_is_shared_once():
    # Each map counts as its memory, and loky ends processes whose memory grows.
    engine = loky_processes.LokyEngine(1)
    shared = engine.share(np.zeros(1000))
    try:
        is_one = engine.submit(lambda given: given() is given(), shared)
        assert is_one.result(timeout=120)
    finally:
        engine.close()


def test_dask_needs_a_client(monkeypatch):
    distributed = pytest.importorskip("dask.distributed")

    def none():
        raise ValueError("No global client")

    monkeypatch.setattr(distributed, "get_client", none)
    with pytest.raises(
        ValueError, match=r"`engine=\"dask\"` needs a cluster: create a"
    ):
        engines.engine_of("dask", None)


def test_forks_are_refused():
    with (
        joblib.parallel_config(backend="multiprocessing"),
        pytest.raises(ValueError, match="must not name the backend 'multiprocessing'"),
    ):
        engines.engine_of(None, 2)


def test_engines_are_checked_first():
    message = r"`engine` must be one of \('loky', 'ray', 'dask'\). Received: 'spark'"
    with pytest.raises(ValueError, match=f"^{message}$"):
        kik.compare("xor_mlp", "xor", ["he"], engine="spark")


def test_one_job_stays_in_this_process():
    assert engines.engine_of(None, None) is None
    assert engines.engine_of(None, 1) is None
    assert engines.engine_of("loky", 1) is None


@pytest.mark.slow
@pytest.mark.parametrize("trial", range(7))
@pytest.mark.parametrize("victim", ["parent", "worker", "write"])
def test_kill_trials(tmp_path, victim, trial):
    """Kills at a random moment; the same call again ends as if nothing had been."""
    from tests.experiments.test_resuming import compare, numbers, start

    generator = np.random.default_rng([trial, len(victim)])
    names = ["he", "zeros", "ones"]
    process = start(tmp_path, epochs=3, n_jobs=2 if victim == "worker" else 0)
    done = int(generator.integers(0, 8))
    wait_until(lambda: len(list(tmp_path.rglob(finished.FILE))) >= done, process)
    if victim == "worker":
        workers = children_of(process.pid)
        if workers:
            os.kill(int(generator.choice(workers)), signal.SIGKILL)
        assert process.wait(300) == 0
    else:
        if victim == "write":
            wait_until(lambda: list(tmp_path.rglob("*.partial")), process)
        else:
            time.sleep(generator.uniform(0, 0.3))
        process.kill()
        process.wait()
    again = compare(tmp_path, names, seeds=4, epochs=3)
    undisturbed = compare(None, names, seeds=4, epochs=3)
    assert numbers(again) == numbers(undisturbed)
    assert not again.lost


def wait_until(condition, process):
    deadline = time.monotonic() + 300
    while not condition() and process.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.0005)


def children_of(pid):
    """Processes of loky, which joblib starts: they import this package."""
    found = []
    for folder in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            stat = (folder / "stat").read_text().rpartition(")")[2].split()
            command = (folder / "cmdline").read_bytes()
        except OSError:  # it has just ended
            continue
        if int(stat[1]) == pid and b"popen_loky" in command:
            found.append(int(folder.name))
    return found
