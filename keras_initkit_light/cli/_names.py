"""From the NAME on the command line to a reference model and its data."""

import dataclasses
import math
import pathlib
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from keras_initkit.data import Dataset
    from keras_initkit.models import ModelSpec


@dataclasses.dataclass(frozen=True)
class Task:
    """What is trained: a reference model on its data set, and for how long."""

    spec: "ModelSpec"
    data: "Dataset"
    epochs: int
    batch_size: int

    @property
    def directory(self) -> pathlib.Path:
        """`logdir/<data>/<model>`, the default place of the runs."""
        return pathlib.Path("logdir") / self.data.name / self.spec.name


@dataclasses.dataclass(frozen=True)
class Quick:
    """How much training `compare` does by default: enough to see who learns.

    Attributes:
        limit: Training examples, if the set has as many.
        steps: Optimizer steps, made up to whole epochs.
        batch_size: Examples a step.
    """

    limit: int
    steps: int
    batch_size: int


def resolve(name: str, model: str | None) -> "ModelSpec":
    """Returns the spec of the model that NAME (and `--model`) stand for.

    Raises:
        ValueError: If there is none, or it is for other data.
    """
    from keras_initkit import data, models
    from keras_initkit.arguments import did_you_mean

    if name not in data.NAMES and name not in models.NAMES:
        raise ValueError(
            f"NAME must be a data set, one of {data.NAMES}, or a reference model, one "
            f"of {models.NAMES}. Received: {name!r}."
            + did_you_mean(name, (*data.NAMES, *models.NAMES))
        )
    spec = models.default_for(name) if name in data.NAMES else models.spec_of(name)
    if model is not None:
        other = models.spec_of(model)
        if other.data != spec.data:
            raise ValueError(
                f"--model must be a model for {spec.data}. Received: {model!r}, which "
                f"is for {other.data}."
            )
        spec = other
    return spec


def load(
    spec: "ModelSpec",
    source: str,
    limit: int | None,
    epochs: int | None,
    batch_size: int | None,
    quick: Quick | None = None,
) -> Task:
    """Loads the data of a model and settles for how long it trains."""
    from keras_initkit import data

    dataset = data.load(spec.data, source=source, limit=limit)
    batch = batch_size or (quick.batch_size if quick else spec.batch_size)
    if quick and limit is None and len(dataset.x_train) > quick.limit:
        dataset = data.load(spec.data, source=source, limit=quick.limit)
    if epochs is None:
        steps_an_epoch = math.ceil(len(dataset.x_train) / batch)
        epochs = math.ceil(quick.steps / steps_an_epoch) if quick else spec.epochs
    return Task(spec, dataset, epochs, batch)


def split_list(text: str) -> list[str]:
    """Splits `"a, b,c"` at its commas."""
    return [part.strip() for part in text.split(",") if part.strip()]


def shell_word(path: Any) -> str:
    """Quotes a path for a shell, if it needs to be."""
    text = str(path)
    if re.fullmatch(r"[\w@%+=:,./-]+", text):
        return text
    return "'" + text.replace("'", "'\"'\"'") + "'"
