"""All set-ups."""

from benchmarks.faults.faulty import FAULTY
from benchmarks.faults.healthy import HEALTHY

SETUPS = FAULTY + HEALTHY
