"""The level table: who may import whom, held by reading the source."""

import ast
import collections
import graphlib
import pathlib
import re
import sys

import pytest

PACKAGE = pathlib.Path(__file__).parent.parent / "keras_initkit"
LIGHT = PACKAGE.with_name("keras_initkit_light")

# Each room may import itself and rooms of a lower level, nothing else.
LEVELS = {
    "schema": 0,  # declared in keras_initkit_light, a name of this package
    "arguments": 0,
    "schedules": 1,
    "structure": 1,
    "theory": 2,
    "stats": 2,
    "data": 2,
    "report": 2,
    "recording": 3,
    "initializers": 3,
    "capture": 3,
    "diagnosis": 4,
    "models": 5,
    "callbacks": 5,
    "reinit": 6,
    "inspection": 7,
    "experiments": 8,
    "lessons": 9,
    "__main__": 10,
}
# What the rooms inside of `capture` may import of it: arrows run one way.
WITHIN_CAPTURE = {
    "tapping": {"tapping", "guard"},
    "twin": {"twin", "tapping", "guard", "requests"},
}
# The face of the package and its rooms on demand.
FACE = "__init__"


def room_of(path):
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported_rooms(path):
    """Yields the rooms of this package that a file imports, wherever it does."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            parts = name.split(".")
            if parts[0] == PACKAGE.name and len(parts) > 1:
                yield parts[1]


FILES = sorted(PACKAGE.rglob("*.py"))


@pytest.mark.parametrize(
    "path", FILES, ids=lambda p: str(p.relative_to(PACKAGE.parent))
)
def test_room_imports_only_lower_levels(path):
    room = room_of(path)
    if room == FACE:
        return
    for other in imported_rooms(path):
        if other in ("__version__", room):
            continue
        assert other in LEVELS, f"{path}: unknown room {other}"
        assert LEVELS[other] < LEVELS[room], (
            f"{path}: {room} (level {LEVELS[room]}) imports {other} (level "
            f"{LEVELS[other]})"
        )


def module_of(path):
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == FACE else parts)


MODULES = {module_of(p): p for root in (PACKAGE, LIGHT) for p in root.rglob("*.py")}


def imported_modules(path):
    """Yields the modules of both packages that a file imports, wherever it does."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            within = [f"{node.module}.{alias.name}" for alias in node.names]
            names = [name if name in MODULES else node.module for name in within]
        else:
            continue
        yield from MODULES.keys() & set(names) - {module_of(path)}


@pytest.mark.parametrize("room", WITHIN_CAPTURE)
def test_rooms_within_capture_import_one_way(room):
    files = sorted((PACKAGE / "capture" / room).glob("*.py"))
    assert len(files) > 5
    imported = {
        name.split(".")[2]
        for path in files
        for name in imported_modules(path)
        if name.startswith(f"{PACKAGE.name}.capture.")
    }
    assert imported == WITHIN_CAPTURE[room]


def test_modules_import_one_another_in_no_circle():
    order = graphlib.TopologicalSorter(
        {name: set(imported_modules(path)) for name, path in MODULES.items()}
    )
    order.prepare()  # raises a CycleError, which names the circle


def test_no_room_has_more_than_twenty_files():
    sizes = collections.Counter(path.parent for path in MODULES.values())
    assert {str(room): size for room, size in sizes.items() if size > 20} == {}


def lines_of_body(function):
    """How many lines a function has below its signature and docstring."""
    body = function.body[bool(ast.get_docstring(function)) :]
    return body[-1].end_lineno - body[0].lineno + 1 if body else 0


def test_no_function_has_a_body_of_more_than_sixty_lines():
    long = {
        f"{name}.{node.name}": lines
        for name, path in MODULES.items()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (lines := lines_of_body(node)) > 60
    }
    assert long == {}


def test_architecture_names_every_room_from_the_ground_up():
    text = (PACKAGE.parent / "docs" / "architecture.md").read_text()
    text = text.partition("## Rooms\n")[2].partition("\n## ")[0]
    rooms = re.findall(r"(?m)^\| `(\w+)` \|", text)
    assert sorted(rooms) == sorted(set(LEVELS) - {"schema", "__main__"})
    levels = [LEVELS[room] for room in rooms]
    assert levels == sorted(levels)


def test_architecture_names_files_that_there_are():
    text = (PACKAGE.parent / "docs" / "architecture.md").read_text()
    names = set(re.findall(r"`([\w/]*\w+\.(?:py|js|md))`", text))
    there = [
        f"/{path.relative_to(PACKAGE.parent).as_posix()}"
        for path in PACKAGE.parent.rglob("*.*")
        if ".venv" not in path.parts
    ]
    assert len(names) > 30
    ends = {name for name in names if any(one.endswith(f"/{name}") for one in there)}
    assert names - ends == set()
    # In the row of a room, each name is that of a file of the room.
    for room, row in re.findall(r"(?m)^\| `(\w+)` \|(.*)", text.partition("## The")[0]):
        inside = [one for one in there if one.startswith(f"/keras_initkit/{room}/")]
        for name in re.findall(r"`([\w/]*\w+\.py)`", row):
            assert any(one.endswith(f"/{name}") for one in inside), (room, name)


# What starts without Keras: its rooms, and what each may import when it is imported.
LIGHT_ROOMS = {
    "stats": {"numpy"},
    "format": {"numpy"},
    "lessons": set(),
    "tab": {"numpy", "tensorboard", "werkzeug"},
    "cli": {"rich", "typer"},
}


def packages_imported_at_once(path):
    """Yields the top-level packages that a file imports when it is imported."""
    statements = list(ast.parse(path.read_text()).body)
    while statements:
        node = statements.pop()
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module.partition(".")[0]
        elif isinstance(node, ast.ClassDef | ast.Try | ast.With):
            statements += node.body


@pytest.mark.parametrize(
    "path", sorted(LIGHT.rglob("*.py")), ids=lambda p: str(p.relative_to(LIGHT))
)
def test_light_package_imports_nothing_heavy(path):
    room = path.relative_to(LIGHT).parts[0]
    allowed = LIGHT_ROOMS.get(room, set()) | {LIGHT.name}
    imported = set(packages_imported_at_once(path))
    assert imported <= allowed | set(sys.stdlib_module_names)
    if room != "cli":  # a command may import what it needs when it runs
        assert set(imported_packages(path)) <= allowed | set(sys.stdlib_module_names)


def imported_packages(path):
    """Yields the top-level packages that a file imports, wherever it does."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module.partition(".")[0]
