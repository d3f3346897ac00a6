"""The recipes for other dashboards, run against the packages, which are not for tests.

`pip install wandb mlflow trackio` has them run; nothing leaves the machine.
"""

import importlib.metadata
import json
import os
import pathlib
import re
import subprocess
import sys

import numpy as np
import pytest

from keras_initkit.recording import RunRecord
from keras_initkit.schema import TensorKey, statistics_of

DOCS = pathlib.Path(__file__).parents[2] / "docs" / "dashboards.md"
OFFLINE = {
    "WANDB_MODE": "offline",
    "WANDB_SILENT": "true",
    "TRACKIO_DIR": "trackio",
    "MLFLOW_TRACKING_URI": "sqlite:///mlflow.db",
    "HF_HUB_OFFLINE": "1",
    "MPLBACKEND": "agg",
}
# Prints what has arrived, `[[name, step, value], ...]`.
READ = {
    # Its log is LevelDB's: records in parts, in blocks of 32 KiB, behind 7 bytes.
    "wandb": """
import glob, struct
wandb.teardown()  # waits until all is written
from wandb.proto import wandb_internal_pb2
(path,) = glob.glob("wandb/offline-run-*/run-*.wandb")
data, at, parts, found = open(path, "rb").read(), 7, [], []
while at + 7 <= len(data):
    if 32768 - at % 32768 < 7:
        at += 32768 - at % 32768
        continue
    _, length, kind = struct.unpack("<IHB", data[at : at + 7])
    parts.append(data[at + 7 : at + 7 + length])
    at += 7 + length
    if kind in (1, 4):  # whole, or the last part
        history = wandb_internal_pb2.Record.FromString(b"".join(parts)).history
        parts = []
        for item in history.item:
            name = item.key or "/".join(item.nested_key)
            if name.endswith("/rms"):
                found.append([name, history.step.num, json.loads(item.value_json)])
""",
    "mlflow": """
client = mlflow.MlflowClient()
(done,) = client.search_runs(["0"])
found = [
    [name, one.step, one.value]
    for name in done.data.metrics
    for one in client.get_metric_history(done.info.run_id, name)
]
""",
    "trackio": """
import sqlite3, glob
(path,) = glob.glob("trackio/signals.db")
rows = sqlite3.connect(path).execute("select step, metrics from metrics").fetchall()
found = [[name, step, value] for step, text in rows
         for name, value in json.loads(text).items()]
""",
}
# What the page says of pictures.
PICTURES = {
    "wandb": "wandb.Image(record.plot())",
    "mlflow": 'mlflow.log_figure(record.plot(), "run.png")',
    "trackio": "",
}


def recipes():
    """The code of the page: `{heading: code}`, the shared part under `""`."""
    parts = re.split(r"(?m)^## ", DOCS.read_text())
    blocks = [re.search(r"```py\n(.*?)```", part, re.DOTALL)[1] for part in parts]
    packages = [re.findall(r"(?m)^import (\w+)$", block)[0] for block in blocks[1:]]
    return {"": blocks[0], **dict(zip(packages, blocks[1:], strict=True))}


@pytest.fixture
def record(tmp_path):
    record = RunRecord()
    names = statistics_of("gradient")
    tensors = [TensorKey(f"net/layer_{n}", "kernel", n % 2) for n in range(3)]
    for step in (0, 10, 20):
        values = np.full((3, len(names)), step, np.float32) + np.arange(3)[:, None]
        record.add("gradient", tuple(tensors), step, values)
    record.metadata["model"] = "net"
    record.to_json(tmp_path / "record.json")
    return record


def test_there_is_a_recipe_of_few_lines_for_each():
    found = recipes()
    assert found.keys() == {"", *READ}
    for code in found.values():
        lines = [line for line in code.splitlines() if line and "import" not in line]
        assert len(lines) <= 4


def test_the_shared_part_has_one_value_a_step_and_tensor(record):
    scope = {"record": record}
    exec(recipes()[""], scope)
    assert sorted(scope["steps"]) == [0, 10, 20]
    assert scope["steps"][10]["gradient/net/layer_1/kernel/1/rms"] == 11.0


@pytest.mark.parametrize("package", READ)
def test_what_is_logged_arrives(package, record, tmp_path):
    try:
        importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        pytest.skip(f"needs {package}, too heavy to be a dependency of the tests")
    code = recipes()
    assert PICTURES[package] in DOCS.read_text()
    program = "\n".join(
        [
            "import json",
            "from keras_initkit.recording import RunRecord",
            "record = RunRecord.from_json('record.json')",
            code[""],
            code[package],
            READ[package],
            PICTURES[package],
            "json.dump(found, open('found.json', 'w'))",
        ]
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env={**os.environ, **OFFLINE},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "found.json").read_text())
    wanted = [
        [f"gradient/net/layer_{n}/kernel/{n % 2}/rms", step, step + n]
        for n in range(3)
        for step in (0, 10, 20)
    ]
    assert sorted(found) == sorted(wanted)
