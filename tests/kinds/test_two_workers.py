"""Two worker processes: statistics of the global batch, written by the chief only."""

import json
import socket

import distribution_cases as cases
import pytest

# One worker for all tests: the processes are run once.
pytestmark = pytest.mark.xdist_group("two_workers")


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


@pytest.fixture(scope="module")
def directories(tmp_path_factory):
    """What the chief and the other worker leave."""
    directory = tmp_path_factory.mktemp("workers")
    workers = [f"127.0.0.1:{port}" for port in free_ports(2)]
    processes = []
    for index in range(2):
        task = {"type": "worker", "index": index}
        config = json.dumps({"cluster": {"worker": workers}, "task": task})
        processes.append(
            cases.run_apart("workers", directory / str(index), TF_CONFIG=config)
        )
    for process in processes:
        cases.finish(process)
    return directory / "0", directory / "1"


@pytest.mark.parametrize("way", ["fit", "loop"])
def test_two_workers(directories, way, record_property):
    name = f"two_workers_in_{way}"
    cases.assert_promises(name, directories, way, record_property)


@pytest.mark.parametrize("way", ["fit", "loop"])
def test_only_the_chief_writes(directories, way):
    chief, other = directories
    assert (chief / f"{way}_run").is_dir()
    assert not (other / f"{way}_run").exists()
