"""What commands that train many programs share: how they run, and what that cost."""

import os
import platform
import time

import keras
import tensorflow as tf


def in_one_thread():
    """Has sums added in one order, so that a run gives the same again."""
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)


class Stop(keras.callbacks.Callback):
    """Ends training after so many steps."""

    def __init__(self, steps):
        super().__init__()
        self.left = steps

    def on_train_batch_end(self, batch, logs=None):
        self.left -= 1
        if self.left <= 0:
            self.model.stop_training = True


def cost_since(began):
    """Tells what was spent since a `time.process_time()`, and on what machine."""
    return (
        f"CPU time {time.process_time() - began:.0f} s, without trainings kept from "
        f"before; {platform.machine()}, {os.cpu_count()} cores, "
        f"TensorFlow {tf.__version__}, Keras {keras.__version__}."
    )
