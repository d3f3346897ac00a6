"""All faults, in the order in which the table has them."""

from tests.faults import faults, growth  # noqa: F401 (they register theirs)
from tests.faults.registry import FAULTS, run

__all__ = ["FAULTS", "run"]
