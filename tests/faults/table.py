"""All faults, in the order in which the table has them."""

from tests.faults import faults, growth, mounts  # noqa: F401 (they register theirs)
from tests.faults.registry import FAULTS, NotHereError, run

__all__ = ["FAULTS", "NotHereError", "run"]
