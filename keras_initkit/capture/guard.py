"""The one boundary between a training and all that watches it.

What goes wrong on our side of it costs one warning and the watching, never the
training: Keras goes on as if nobody looked. Its wrappers stand in for methods of layers
and optimizers and around those of callbacks; what they hand on is what the original
gives.
"""

import functools
import logging
import warnings

logger = logging.getLogger(__name__)


class RefusedError(ValueError):
    """What a user asked for and a model cannot give; told before training, by name."""


class Guard:
    """Keeps exceptions of ours from a training; after one, nothing is watched.

    Args:
        who: Name of the callback, for the warning.

    Attributes:
        failed: Whether an exception was kept since the last `begin`.
    """

    def __init__(self, who):
        self._who = who
        self.failed = False

    def begin(self):
        """A training begins: what failed in an earlier one is tried again."""
        self.failed = False

    def keep(self, error, doing):
        """Keeps an exception: tells it, the first time, and notes that watching ends.

        Args:
            error: The exception.
            doing: What failed, as the warning names it.
        """
        if self.failed:
            return
        self.failed = True
        logger.debug("%s failed", self._who, exc_info=error)
        text = str(error).strip().partition("\n")[0]
        warnings.warn(
            f"{self._who} stops watching this training, which continues: {doing} "
            f"failed ({type(error).__name__}: {text}).",
            stacklevel=2,
        )


def is_wanted(error):
    """Whether an exception is to reach the user: asked for, or a refusal."""
    return isinstance(error, RefusedError) or getattr(error, "stops_training", False)


def guarded(doing, begins=False):
    """Declares a method of a callback that Keras calls; its object has a `guard`.

    Args:
        doing: What the method does, as a warning names it.
        begins: Whether a training begins by it.
    """

    def declare(method):
        @functools.wraps(method)
        def call(self, *args, **kwargs):
            if begins:
                self.guard.begin()
            if self.guard.failed:
                return None
            try:
                return method(self, *args, **kwargs)
            except Exception as error:
                if is_wanted(error):
                    raise
                self.give_up(error, doing)
                return None

        return call

    return declare


def attempt(requests, doing, function, *args):
    """Calls a function of ours; what it raises is told to those who wait for it.

    Args:
        requests: The `StepRequest`s of the step.
        doing: What the function does, as a warning names it.
        function: The function.
        *args: Its arguments.

    Returns:
        What it returns, `None` where it raises.
    """
    try:
        return function(*args)
    except Exception as error:
        if is_wanted(error):
            raise
        for request in requests:
            request.failed(error, doing)
        return None


def tried(failed, function, *args):
    """Calls a function of ours inside a step; tells `failed` what it raises.

    Returns:
        What it returns, `None` where it raises.
    """
    try:
        return function(*args)
    except Exception as error:
        failed(error)
        return None


def watching(original, observe, failed):
    """Returns a function that hands on what `observe` makes of an original's outputs.

    Args:
        original: The function.
        observe: Function of the outputs, and of the arguments behind them, that returns
            the outputs, or what stands for them.
        failed: Function of the exception, if `observe` raises one.
    """

    @functools.wraps(original)
    def call(*args, **kwargs):
        outputs = original(*args, **kwargs)
        try:
            return observe(outputs, *args, **kwargs)
        except Exception as error:
            failed(error)
            return outputs

    return call


def seeing(original, observe, failed):
    """Returns a function that shows `observe` its first argument, then runs as ever.

    Args:
        original: The function.
        observe: Function of the first argument.
        failed: Function of the exception, if `observe` raises one.
    """

    @functools.wraps(original)
    def call(*args, **kwargs):
        try:
            observe(*args[:1])
        except Exception as error:
            failed(error)
        return original(*args, **kwargs)

    return call
