"""From a path on the command line to a model, and from `--data` to a batch."""

import math
import pathlib
import warnings
import zipfile
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    import numpy as np

ModelFile = Annotated[
    pathlib.Path,
    typer.Argument(
        metavar="MODEL.keras",
        help="A model saved by `model.save`.",
        show_default=False,
    ),
]


def load_model(path: pathlib.Path) -> Any:
    """Loads a saved model; code in the file is never run (`safe_mode`).

    Raises:
        ValueError: If there is no model to be loaded at `path`.
    """
    check_file(path)
    import keras

    try:
        with warnings.catch_warnings():
            # Of a model that was compiled and never trained.
            warnings.filterwarnings("ignore", "Skipping variable loading for optimizer")
            return keras.models.load_model(path, safe_mode=True)
    except Exception as error:  # whatever a damaged or hostile file raises
        reason = str(error).strip().partition("\n")[0]
        raise ValueError(
            "MODEL must be a .keras file that loads safely: custom classes must be "
            f"registered, and lambdas are not run. Received: {str(path)!r} ({reason})"
        ) from error


def check_file(path: pathlib.Path) -> None:
    """Raises ValueError unless a path leads to what may be a saved model."""
    if not path.is_file():
        raise ValueError(f"MODEL must be a file. Received: {str(path)!r}.")
    if path.suffix not in (".h5", ".hdf5") and not zipfile.is_zipfile(path):
        raise ValueError(
            "MODEL must be a .keras file, as `model.save` writes it. Received: "
            f"{str(path)!r}, which is something else."
        )


def load_batch(
    data: str, model: Any, source: str, batch_size: int
) -> tuple["np.ndarray[Any, Any]", "np.ndarray[Any, Any] | None", str]:
    """Loads the first examples of a data set, and says which it is.

    Args:
        data: A name of `kik.data.NAMES`, or a `.npz` file with an array `x` (or
            `x_train`), and `y` (or `y_train`) for targets.
        model: The model, whose input shape the examples take if they can.
        source: As for `kik.data.load`.
        batch_size: Number of examples.

    Raises:
        ValueError: If there is no such data, or it does not fit the model.
    """
    import numpy as np

    from keras_initkit import data as datasets
    from keras_initkit.arguments import did_you_mean

    y: Any
    if data in datasets.NAMES:
        dataset = datasets.load(data, source=source)
        x, y, origin = dataset.x_train, dataset.y_train, str(dataset.origin)
    else:
        path = pathlib.Path(data)
        if not path.is_file():
            raise ValueError(
                f"--data must be one of {datasets.NAMES} or a .npz file. Received: "
                f"{data!r}." + did_you_mean(data, datasets.NAMES)
            )
        if not zipfile.is_zipfile(path):
            raise ValueError(
                f"--data must be one of {datasets.NAMES} or a .npz file, as `np.savez` "
                f"writes it. Received: {data!r}, which is something else."
            )
        with np.load(path, allow_pickle=False) as arrays:
            x, y = _first(arrays, "x", "x_train"), _first(arrays, "y", "y_train")
        origin = str(path)
        if x is None:
            raise ValueError(
                f"--data must hold an array `x` or `x_train`. Received: {data!r}, with "
                f"{tuple(arrays.files)}."
            )
    y = None if y is None else y[:batch_size]
    return _fitted(x[:batch_size], model), y, origin


def _first(arrays: Any, *names: str) -> Any:
    return next((arrays[name] for name in names if name in arrays.files), None)


def _fitted(x: Any, model: Any) -> Any:
    """Gives examples the model's input shape, where only the layout differs.

    Raises:
        ValueError: If they do not fit.
    """
    shape = getattr(model, "input_shape", None)
    if not isinstance(shape, tuple) or None in shape[1:]:
        return x
    if x[:1].size != math.prod(shape[1:]):
        raise ValueError(
            f"--data must fit the model's inputs, of shape {shape[1:]}. Received: "
            f"examples of shape {x.shape[1:]}."
        )
    return x.reshape(len(x), *shape[1:])
