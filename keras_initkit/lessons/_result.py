"""What a lesson shows: the slide's claim, and what came out of it."""

import dataclasses
import math
import pathlib
import textwrap
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from keras_initkit.data import Dataset

_WIDTH = 88


@dataclasses.dataclass(frozen=True)
class Check:
    """One statement that was put to the test.

    Attributes:
        statement: What is said.
        measured: What was measured, in words and figures.
        holds: Whether the statement is true of what was measured.
        by_slide: Whether it is the slide that says so; otherwise the lesson does.
    """

    statement: str
    measured: str
    holds: bool
    by_slide: bool = False

    def __str__(self) -> str:
        who = "the slide says" if self.by_slide else "we add"
        holds = "true" if self.holds else "NOT TRUE"
        return f"[{who}: {holds}] {self.statement}: {self.measured}"


@dataclasses.dataclass
class Result:
    """What came out of a lesson.

    Args:
        data: The data set that it rests on, if there is one.

    Attributes:
        slide: Number of the slide.
        title: What it is about.
        claim: What the slide says, in a sentence.
        deck: The figure that the deck prints, or what it shows.
        measured: The same, measured here.
        checks: The statements put to the test, the slide's own among them.
        figures: `{name: number}`, what the statements rest on.
        picture: Path of the picture, in the directory of the lesson's event files.
        origin: Where the data come from; `""` without data.
        is_standin: Whether they are a stand-in for the real ones.
    """

    slide: int
    title: str
    claim: str
    deck: str
    measured: str
    checks: tuple[Check, ...]
    figures: dict[str, float]
    picture: pathlib.Path
    data: dataclasses.InitVar["Dataset | None"] = None
    origin: str = dataclasses.field(init=False, default="")
    is_standin: bool = dataclasses.field(init=False, default=False)

    def __post_init__(self, data: "Dataset | None") -> None:
        if data is not None:
            self.origin, self.is_standin = data.origin, data.is_standin

    @property
    def verdict(self) -> str:
        """What is to be said of the slide: by how many of its own checks hold."""
        held = [check.holds for check in self.checks if check.by_slide]
        if all(held):
            return "true"
        return "true in part" if any(held) else "not true"

    @property
    def is_shown(self) -> bool:
        """Whether all holds that the lesson itself states."""
        return all(check.holds for check in self.checks if not check.by_slide)

    def to_dict(self) -> dict[str, Any]:
        """Returns the result as JSON takes it: `None` for what is not finite."""
        return {
            **dataclasses.asdict(self),
            "picture": str(self.picture),
            "log_dir": str(self.picture.parent),
            "checks": [
                {**dataclasses.asdict(check), "holds": bool(check.holds)}
                for check in self.checks
            ],
            "figures": {
                name: float(value) if math.isfinite(value) else None
                for name, value in self.figures.items()
            },
            "verdict": self.verdict,
            "is_shown": self.is_shown,
        }

    def __str__(self) -> str:
        head = f"Lesson {self.slide}: {self.title}"
        lines = [head, "-" * len(head)]
        lines += _wrapped("The slide:  ", self.claim)
        lines += _wrapped("Its figure: ", self.deck)
        lines += _wrapped("Measured:   ", self.measured)
        for check in self.checks:
            lines += _wrapped("  ", str(check), hanging="    ")
        lines += _wrapped("The slide's claim is ", f"{self.verdict}.")
        if self.origin:
            standin = "NOT THE REAL DATA: " if self.is_standin else "Data: "
            lines += _wrapped(standin, self.origin)
        return "\n".join([*lines, f"Picture: {self.picture}"])


def _wrapped(label: str, text: str, hanging: str | None = None) -> list[str]:
    """Returns a labelled text as lines, the later ones indented below the first."""
    indent = " " * len(label) if hanging is None else hanging
    return textwrap.wrap(
        text,
        _WIDTH,
        initial_indent=label,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )
