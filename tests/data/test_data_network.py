"""Keras's own loaders without a network, in a process of their own.

The way to the network is closed by a proxy that refuses (or never answers), so the
tests do the same on every machine.
"""

import json
import os
import subprocess
import sys

import pytest

PROBE = """
import json, os, socket, time, urllib.request, warnings
from keras_initkit import data
from keras_initkit.data import _real

out = {}
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    dataset = data.load("imdb")
out["auto"] = [dataset.is_standin, dataset.origin]
out["warned"] = [
    [w.category.__name__, os.path.basename(w.filename), str(w.message)]
    for w in caught if issubclass(w.category, data.StandInWarning)
]
for key, name in (("refused", "cifar10"), ("damaged", "mnist")):
    try:
        data.load(name, source="real" if key == "refused" else "auto")
    except data.DataError as error:
        out[key] = [type(error).__name__, str(error)]
silent = socket.create_server(("127.0.0.1", 0))
os.environ["https_proxy"] = "http://127.0.0.1:%d" % silent.getsockname()[1]
urllib.request.install_opener(urllib.request.build_opener())  # reads it anew
_real.NETWORK_TIMEOUT = 0.2
start = time.monotonic()
try:
    data.load("imdb", source="real")
except data.DataUnavailableError as error:
    out["silent"] = [str(error), time.monotonic() - start]
out["timeout_after"] = socket.getdefaulttimeout()
try:
    _real.words_from_keras()
except data.DataUnavailableError as error:
    out["words"] = str(error)
print(json.dumps(out))
"""


@pytest.fixture(scope="module")
def probe(tmp_path_factory):
    home = tmp_path_factory.mktemp("keras_home")
    (home / "datasets").mkdir()
    (home / "datasets" / "mnist.npz").write_bytes(b"half a file")
    env = {**os.environ, "KERAS_HOME": str(home), "TF_CPP_MIN_LOG_LEVEL": "3"}
    env.pop("KERAS_INITKIT_DATA_DIR", None)
    env.pop("no_proxy", None)
    env["https_proxy"] = env["HTTPS_PROXY"] = "http://127.0.0.1:9"
    run = subprocess.run(
        [sys.executable, "-c", PROBE], env=env, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr
    # Standard output holds the one line of the program: no progress of Keras's.
    return {**json.loads(run.stdout), "home": home, "stderr": run.stderr}


def test_without_network_a_standin_takes_over_loudly(probe):
    is_standin, origin = probe["auto"]
    assert is_standin
    assert origin.startswith("stand-in for imdb: generated reviews with good and bad")
    assert "downloading it failed: URL fetch failure" in origin
    ((category, filename, message),) = probe["warned"]
    assert category == "StandInWarning"
    assert filename == "<string>"  # the caller of load
    assert message == (
        f"Not the real 'imdb' data: {origin}. Results on it say nothing about the real "
        "set; source='real' refuses stand-ins."
    )


def test_without_network_real_is_refused_with_the_remedy(probe):
    category, message = probe["refused"]
    assert category == "DataUnavailableError"
    assert message.startswith(
        "source='real': the real 'cifar10' data are not available. "
    )
    assert message.endswith(
        "Load them once with network access, or point `source` or "
        "KERAS_INITKIT_DATA_DIR to a folder with 'cifar10.npz', or use a stand-in with "
        "source='standin'."
    )


def test_damaged_cache_is_an_error_that_tells_what_became_of_it(probe):
    category, message = probe["damaged"]
    path = probe["home"] / "datasets" / "mnist.npz"
    assert category == "DataFileError"
    assert message.startswith(
        f"The cached file '{path}' is damaged or not the one that Keras expects, and "
        "downloading it again failed (URL fetch failure"
    )
    assert ("was removed by Keras" in message) == (not path.exists())


def test_network_that_never_answers_is_given_up(probe):
    message, seconds = probe["silent"]
    assert "timed out" in message, message
    assert seconds < 30  # the system's own patience is minutes
    assert probe["timeout_after"] is None


def test_missing_word_list_is_named(probe):
    folder = probe["home"] / "datasets"
    assert probe["words"].startswith(
        f"The word list 'imdb_word_index.json' is neither in '{folder}' nor could it "
        "be downloaded ("
    )
    assert "The reviews are loaded; only their words are missing" in probe["words"]


def test_progress_of_downloads_goes_to_standard_error(probe):
    assert "Downloading data from https://" in probe["stderr"]


def test_no_partial_download_stays(probe):
    assert [p for p in (probe["home"] / "datasets").rglob("*") if p.is_file()] == []
