"""`Finding`: one fault, with its place, its first step, the evidence and the remedy."""

import dataclasses
from typing import Any

from keras_initkit_light.format.schema import SEVERITIES


@dataclasses.dataclass(frozen=True)
class Finding:
    """One fault that a rule found in a run.

    Attributes:
        rule: Name of the rule, such as `"VanishingGradient"`.
        severity: `"info"`, `"warning"` or `"error"`.
        layer: Path of the faulty layer, `None` for the model as a whole.
        step: First recorded optimizer iteration at which the fault shows.
        measured: The value that tripped the rule.
        threshold: The value it was compared with.
        message: What was seen, in one sentence.
        remedy: What to do about it, in one sentence.
        reference: Source of the rule (paper, documentation).
        because_of: Rule of the finding that this one follows from, `None` for a cause.

    An *error* keeps the loss from getting below that of the best constant prediction,
    makes it NaN or Inf, or leaves an output of the model without a gradient; with a
    *warning* the model learns more slowly or worse than it could.
    """

    rule: str
    severity: str
    layer: str | None
    step: int | None
    measured: float
    threshold: float
    message: str
    remedy: str
    reference: str
    because_of: str | None = None

    def __post_init__(self) -> None:
        if self.severity not in SEVERITIES:
            raise ValueError(
                f"`severity` must be one of {SEVERITIES}. "
                f"Received: severity={self.severity!r}"
            )

    def to_dict(self) -> dict[str, Any]:
        """Returns the attributes as a dict."""
        return dataclasses.asdict(self)

    def __str__(self) -> str:
        where = "" if self.layer is None else f" in {self.layer!r}"
        since = "" if self.step is None else f" since step {self.step}"
        return f"{self.severity} {self.rule}{where}{since}: {self.message}"
