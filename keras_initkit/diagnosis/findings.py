"""`Findings`: a list of them that prints itself as advice."""

from collections.abc import Iterable
from typing import Any

from keras_initkit.diagnosis.causes import causes_among, consequences
from keras_initkit.diagnosis.finding import Finding
from keras_initkit.report import diagnosis_table
from keras_initkit.report.tables import Printed


class Findings(Printed, list[Finding]):
    """A list of findings. Prints causes with remedies; in a notebook, renders as HTML.

    An empty one says that nothing was found.

    Args:
        findings: The findings, consequences after their causes.
        clean: Text shown if there are none.

    Example:
    >>> Findings([], "the model is fine")
    the model is fine
    """

    def __init__(
        self, findings: Iterable[Finding] = (), clean: str = "no finding"
    ) -> None:
        super().__init__(findings)
        self.clean = clean

    def __rich__(self) -> Any:
        causes = [(one, consequences(self, one.rule)) for one in causes_among(self)]
        # Causes may have ceased, or been left out: what follows from them stands.
        told = {one.rule for one, _ in causes}
        lone = [(one, "") for one in self if one.because_of not in {None, *told}]
        return diagnosis_table.render_findings(causes + lone, self.clean)
