"""How many threads a run computes with, on which its last digits depend.

TensorFlow takes the number when it starts in a process, and keeps it. Each run, in this
process or another one, computes with the number of the process that asked for it.
"""

import contextlib
import os

import keras


def threads_here() -> int:
    """Returns the number of intra-op threads in this process; 0 if not known."""
    if keras.backend.backend() != "tensorflow":
        return 0
    import tensorflow as tf

    return tf.config.threading.get_intra_op_parallelism_threads() or _cores()


def compute_with(threads: int) -> None:
    """Has this process compute with so many threads, if it has not begun to compute."""
    if keras.backend.backend() != "tensorflow" or threads == threads_here():
        return
    import tensorflow as tf

    with contextlib.suppress(RuntimeError):  # it has
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(threads)


def _cores() -> int:
    """Returns the number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
