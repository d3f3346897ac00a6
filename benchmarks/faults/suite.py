"""All set-ups."""

from benchmarks.faults import faulty, healthy, held_back

FAULTY = faulty.FAULTY + held_back.FAULTY
HEALTHY = healthy.HEALTHY + held_back.HEALTHY
SETUPS = FAULTY + HEALTHY
