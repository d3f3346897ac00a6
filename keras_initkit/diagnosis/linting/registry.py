"""The static checks and what is known of each."""

import dataclasses
import inspect
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from keras_initkit.diagnosis import causes
from keras_initkit.diagnosis.finding import Finding
from keras_initkit.diagnosis.registry import Fault
from keras_initkit.structure.graph import Graph


@dataclasses.dataclass(frozen=True)
class Subject:
    """What is checked.

    Attributes:
        model: The Keras model.
        graph: Its `Graph`; `None` for a subclassed one, of which layers alone are
            known.
        layers: `(path, layer)` of all layers, nested ones included.
    """

    model: Any
    graph: Graph | None
    layers: tuple[tuple[str, Any], ...]


Check = Callable[[Subject], Iterator[Fault]]


@dataclasses.dataclass(frozen=True)
class Lint:
    """A static check.

    Attributes:
        name: Name that findings carry.
        severity: Severity of its findings, unless the check says otherwise.
        summary: What it looks for, in one sentence.
        reference: Paper or documentation that it is taken from.
        check: The function `Subject -> Iterator[Fault]`.
    """

    name: str
    severity: str
    summary: str
    reference: str
    check: Check

    def ask(self, subject: Subject) -> list[Finding]:
        """Returns the findings of this check."""
        return [
            Finding(
                rule=self.name,
                severity=fault.severity or self.severity,
                layer=fault.layer,
                step=None,
                measured=float(fault.measured),
                threshold=float(fault.threshold),
                message=fault.message,
                remedy=fault.remedy,
                reference=self.reference,
            )
            for fault in self.check(subject)
        ]


LINTS: dict[str, Lint] = {}


def lint_rule(
    name: str,
    *,
    severity: str,
    reference: str,
    follows_from: Iterable[str] = (),
    spans_depth: bool = False,
) -> Callable[[Check], Check]:
    """Declares a static check; its docstring becomes the summary.

    `follows_from` and `spans_depth` are those of `causes.declare`.
    """

    def declare(check: Check) -> Check:
        summary = (inspect.getdoc(check) or "").partition("\n")[0]
        causes.declare(name, follows_from=follows_from, spans_depth=spans_depth)
        LINTS[name] = Lint(name, severity, summary, reference, check)
        return check

    return declare
