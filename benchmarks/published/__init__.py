"""Right about programs that others wrote: the DeepFD benchmark, beside its tools.

    python -m benchmarks.published                  # all programs, both halves' figures
    python -m benchmarks.published --post 48385830  # one, with all that is said of it

The 52 faulty Keras programs on which DeepFD (Cao et al., 2022,
https://arxiv.org/abs/2202.01515) was compared with UMLAUT, AutoTrainer and
DeepLocalize. `programs.json` holds their facts: layers, settings, shapes and scales of
the data, types of faults, and what the tools said; its `sources` name where they come
from and under which licence. Of 43 the program is known, 39 of them faithfully (layers,
initializers, loss, optimizer, rate and batch size as in the source; the data may be a
stand-in of the same shape and scale), 4 approximately; 42 have a mended twin. Nine are
unavailable. Five come from repositories and have no number.

Protocol, fixed before the first run:

- A program is looked at as a user would: `kik.diagnose(model, x, y)`, with `kik.lint`,
  before training, then the program's own `fit` under a `SignalMonitor`, for the
  program's own number of steps or the `most_steps` of the file (400; fewer with
  convolutions), at every tenth (of short ones at up to 20 places). The rules are asked
  as training goes on, at the growing intervals of the monitor, and `kik.review` at its
  end (there was none at the first run). Findings of severity info do not count.
  Threads and seeds are fixed.
- Detected: anything is found. Diagnosed: a finding names a type of fault that is in
  DeepFD's truth, translated by `scoring.WORDS` and `scoring.TYPES`; this is how DeepFD
  counts. Named: a finding that diagnoses names a layer or setting at which program and
  twin differ (DeepFD's own column counts lines of code). First: the first finding shown
  names a type in the truth, or one of the file's `faults` (for real faults are missing
  in the truth).
- Wrong, on a faulty program: a finding that names neither a type of the truth nor one
  of the file's `faults` or `fair`, unless it is shown as the consequence of another.
  What only says that nothing is learnt (`scoring.SYMPTOMS`) is true of each fault.
- On a twin every finding is false, unless it is in the file's `fair_of_twin` or
  applying its remedy (`remedies.py`) makes the twin's skill better by
  `scoring.BETTER`. Twins that were not seen to learn better than the program
  (`confirmed`) are counted apart.
- Of 41372874, which DeepFD's workbook calls free of faults, the right answer is none.
- Rules are tuned on programs of even number only. Those of odd number, and the five
  without, are printed apart, and nothing is changed for what they show.

What weighs on the figures: the truth is what patches changed, tried one after the
other, so that it names the number of epochs 18 times and the optimizer 11 times and
leaves out raw pixels; and 51 of 52 programs are faulty, so that to say something of
each detects them all: hence the twins.
"""
