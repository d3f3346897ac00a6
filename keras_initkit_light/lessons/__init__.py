"""Which lessons there are, told without Keras; `keras_initkit.lessons` runs them."""

import ast
import pathlib


def _directory() -> pathlib.Path:
    """Where the files are: a wheel carries them along, a clone has them at its top."""
    here = pathlib.Path(__file__).parent
    packed = here / "files"
    return packed if packed.is_dir() else here.parents[1] / "examples" / "lessons"


# In the order of the slides: {"zero_trap": .../01_zero_trap.py}
FILES = {
    path.stem.partition("_")[2]: path for path in sorted(_directory().glob("??_*.py"))
}
NAMES = tuple(FILES)


def choose(which: str) -> tuple[str, ...]:
    """Returns the names of the lessons that a word stands for.

    Args:
        which: A name (in letters of either case), the number of a slide, or `"all"`.

    Raises:
        ValueError: If there is no such lesson.

    Example:
    >>> choose("5")
    ('xavier',)
    """
    name = which.lower().replace(" ", "_")
    if name == "all":
        return NAMES
    if name in NAMES:
        return (name,)
    if which.isdigit() and 1 <= int(which) <= len(NAMES):
        return (NAMES[int(which) - 1],)
    raise ValueError(
        f"A lesson is named 'all', by a number from 1 to {len(NAMES)}, or "
        f"{', '.join(NAMES)}. Received: {which!r}."
    )


def summary(name: str) -> str:
    """Returns the first line of what a lesson's file says of itself."""
    text = ast.get_docstring(ast.parse(FILES[name].read_text())) or ""
    return text.partition("\n")[0]
