"""How well the rules find faults: seeded faults, healthy trainings, and the count.

    python -m benchmarks.faults             # all set-ups, both halves' figures
    python -m benchmarks.faults --list      # what they are
    python -m benchmarks.faults --only cnn  # those with "cnn" in their names

Protocol, fixed before the first run:

- A faulty set-up is a healthy `Setting` with one thing changed. It is a fault if
  it fails to train where the healthy twin, of the same seed and as many steps, trains:
  the twin's skill on 1,000 training examples is at least 0.3, the faulty one's at most
  half of it. Skill is accuracy above that of the most frequent class, scaled to 1 (R²
  for regressions). Set-ups whose fault does not hurt are listed as harmless and count
  neither way. A healthy set-up must reach a skill of 0.3.
- All are looked at as a user would: `kik.diagnose` (with `kik.lint`) on a batch of 64
  before training, then a `SignalMonitor` at every tenth step whose rules are asked at
  each of these. (The monitor itself asks less often as it goes on, by the clock.)
- A fault is found if a rule that names it, declared with the set-up, has a finding of
  severity warning or error by step 100. The layer is right if the first such finding
  names one of the layers that were changed.
- Other findings on a faulty set-up are symptoms if the fault brings them about
  (declared with its kind: zero weights silence ReLUs) and false otherwise. On a healthy
  set-up every warning or error is false. Several findings of one rule in one set-up
  count once, as they are told once.
- Thresholds are tuned on the set-ups of `faulty.py` and `healthy.py`, and never on
  those of `held_back.py`, which were declared as a whole before any rule saw one of
  them. A held-back half is spent once it was looked at: the next one needs new set-ups,
  and the old ones join those to tune on.
"""
