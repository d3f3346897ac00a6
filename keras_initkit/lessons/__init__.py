"""The lessons: fourteen claims of an introductory slide deck, put to the test.

Each is a file of its own, `examples/lessons/NN_name.py`, with a function
`run(log_dir, source="auto")` that returns a `Result`. This room finds and runs them.
"""

from keras_initkit.lessons._files import main as main
from keras_initkit.lessons._files import run as run
from keras_initkit.lessons._files import working as working
from keras_initkit.lessons._result import Check as Check
from keras_initkit.lessons._result import Result as Result
from keras_initkit_light.lessons import NAMES as NAMES
from keras_initkit_light.lessons import choose as choose
from keras_initkit_light.lessons import summary as summary

__all__ = ["NAMES", "choose", "run", "main", "summary", "working", "Check", "Result"]
