"""The public face: the same names and objects, whatever was imported before."""

import inspect
import pathlib
import pkgutil
import subprocess
import sys
import types

import pytest

import keras_initkit as kik

DOCS = pathlib.Path(__file__).parent.parent / "docs"
ROOMS = {n: v for n in kik.__all__ if inspect.ismodule(v := getattr(kik, n))}


def test_dir_shows_the_public_names_and_nothing_else():
    assert dir(kik) == sorted(kik.__all__)
    assert len(set(kik.__all__)) == len(kik.__all__)


def test_rooms_that_the_documents_name_are_public():
    text = (DOCS / "architecture.md").read_text()
    table = text.partition("## What you import\n")[2].partition("\n## ")[0]
    first_cells = [line.split("|")[1] for line in table.splitlines() if "| `" in line]
    told = {name for cell in first_cells for name in cell.split("`")[1::2]}
    assert told == {*(f"kik.{room}" for room in ROOMS), "keras_initkit_light"}


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_has_what_it_lists(room):
    module = ROOMS[room]
    for name in getattr(module, "__all__", ()):
        assert hasattr(module, name)


@pytest.mark.parametrize("room", [n for n in ROOMS if hasattr(ROOMS[n], "__path__")])
def test_no_module_of_a_room_has_the_name_of_something_public(room):
    module = ROOMS[room]
    modules = {info.name for info in pkgutil.iter_modules(module.__path__)}
    for name in modules & set(module.__all__):
        assert isinstance(getattr(module, name), types.ModuleType)


# What a program may import first; the face must not depend on it.
BEFORE = {
    "nothing": "",
    "the function from its room": "from keras_initkit.experiments import compare",
    "another function": "import keras_initkit as kik; kik.diagnose; kik.lsuv",
    "a monitor": "from keras_initkit import SignalMonitor",
    "a module below": "import keras_initkit.reinit._recommend",
    "a room below": "import keras_initkit.stats, keras_initkit.capture",
}
PROGRAM = """
import types
import keras_initkit as kik
from keras_initkit import callbacks
from keras_initkit.experiments import compare
from keras_initkit.inspection import coordinate_check, diagnose, over_draws
from keras_initkit.reinit import (
    fixup, lsuv, metainit, preserve_signal, recommend, reinitialize,
)
from keras_initkit.stats import finalize
def is_room(name): return isinstance(getattr(kik, name), types.ModuleType)
rooms = [name for name in kik.__all__ if is_room(name)]
public = {name: getattr(kik, name) for name in kik.__all__ if name not in rooms}
for name, one in public.items():
    assert not isinstance(one, types.ModuleType), name
    for room in rooms:
        room = getattr(kik, room)
        if room is kik.schema: continue
        assert getattr(room, name, one) is one, (room, name)
for one in (compare, coordinate_check, diagnose, fixup, lsuv, metainit, over_draws,
            preserve_signal, recommend, reinitialize):
    assert public[one.__name__] is one
assert isinstance(finalize, types.FunctionType)
print(len(rooms), len(public))
"""


@pytest.mark.parametrize("before", BEFORE)
def test_face_does_not_depend_on_what_was_imported_before(before):
    done = subprocess.run(
        [sys.executable, "-c", BEFORE[before] + PROGRAM],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [str(len(ROOMS)), str(len(kik.__all__) - len(ROOMS))]


def test_every_room_is_there_at_once_and_imported_when_first_used():
    program = (
        "import sys, keras_initkit as kik\n"
        "heavy = ('experiments', 'inspection', 'reinit', 'report', 'callbacks',"
        " 'capture', 'models', 'recording', 'data')\n"
        "print([n for n in heavy if f'keras_initkit.{n}' in sys.modules])\n"
        "print(kik.callbacks.SignalMonitor is kik.SignalMonitor)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.stdout.splitlines() == ["[]", "True"], done.stderr


def test_an_unknown_name_is_told():
    with pytest.raises(AttributeError, match="no attribute 'SignalMonitr'"):
        kik.SignalMonitr  # noqa: B018
