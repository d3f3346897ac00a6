"""All faults, in the order in which the table has them."""

# They register theirs.
from tests.faults import faults, growth, mounts, names  # noqa: F401
from tests.faults.registry import FAULTS, NotHereError, run

__all__ = ["FAULTS", "NotHereError", "run"]
