"""The pictures of values: images, sequences, units and weights."""

import os
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from keras_initkit.report import drawing

_MOST_PANELS, _COLUMNS = 24, 4
_MOST_CHANNELS = 16
_MOST_EXAMPLES = 64


class Picture(NamedTuple):
    """One array as a map.

    Attributes:
        title: What it is.
        values: Shape `(rows, columns)`; NaN between the parts of a montage.
        rows: What a row is.
        columns: What a column is.
    """

    title: str
    values: np.ndarray
    rows: str
    columns: str


def of_output(
    label: str, array: np.ndarray, example: int, channels_first: bool = False
) -> Picture:
    """Returns the picture of a layer's output.

    Args:
        label: Name of the tensor.
        array: Shape `(examples, ...)`.
        example: Which of the examples is drawn, of images and sequences.
        channels_first: Whether channels stand ahead of the places of an image.

    Raises:
        ValueError: If there is no such example.
    """
    values = np.asarray(array, np.float32)
    if values.ndim < 3:
        shown = values.reshape(len(values), -1)[:_MOST_EXAMPLES]
        return Picture(_titled(label, values), shown, "example", "unit")
    if not -len(values) <= example < len(values):
        raise ValueError(
            f"`example` must be one of the {len(values)} examples of the batch. "
            f"Received: example={example!r}"
        )
    one = values[example]
    if channels_first:
        one = np.moveaxis(one, 0, -1)
    if one.ndim == 2:
        return Picture(_titled(label, values), one.T, "feature", "time step")
    while one.ndim > 3:  # volumes: their middle
        one = one[len(one) // 2]
    count = min(one.shape[-1], _MOST_CHANNELS)
    rows = f"{count} of {one.shape[-1]} channels"
    return Picture(_titled(label, values), montage(one[..., :count]), rows, "")


def of_weight(label: str, array: np.ndarray) -> Picture:
    """Returns the picture of a weight, or of its gradient: outputs are columns."""
    values = np.asarray(array, np.float32)
    units = values.shape[-1] if values.ndim else 1
    flat = values.reshape(-1, units)
    return Picture(_titled(label, values), flat, "input", "output")


def montage(channels: np.ndarray) -> np.ndarray:
    """Puts channels side by side, in a square as far as may be, NaN in between.

    Args:
        channels: Shape `(height, width, channels)`.

    Example:
    >>> montage(np.arange(3.0).reshape(1, 1, 3))
    array([[ 0., nan,  1.],
           [nan, nan, nan],
           [ 2., nan, nan]])
    """
    height, width, count = channels.shape
    across = int(np.ceil(np.sqrt(count)))
    down = -(-count // across)
    shape = (down * (height + 1) - 1, across * (width + 1) - 1)
    joined = np.full(shape, np.nan, channels.dtype)
    for number in range(count):
        row, column = divmod(number, across)
        top, left = row * (height + 1), column * (width + 1)
        joined[top : top + height, left : left + width] = channels[..., number]
    return joined


def plot(
    pictures: Sequence[Picture], path: str | os.PathLike[str] | None = None
) -> Any:
    """Draws pictures, each on a scale of its own; of many, some spread over the depth.

    Raises:
        ValueError: If there is none with a value in it.
    """
    pictures = [picture for picture in pictures if picture.values.size]
    if not pictures:
        raise ValueError("There is nothing to plot: no array holds a value.")
    places = np.linspace(0, len(pictures) - 1, min(len(pictures), _MOST_PANELS))
    chosen = [pictures[int(place)] for place in places]
    columns = min(_COLUMNS, len(chosen))
    rows = -(-len(chosen) // columns)
    figure, panels = drawing.new_figure(rows, columns, (3.4 * columns, 3.1 * rows))
    for axes, picture in zip(panels.ravel(), chosen, strict=False):
        _draw(figure, axes, picture)
    for axes in panels.ravel()[len(chosen) :]:
        axes.set_visible(False)
    if len(chosen) < len(pictures):
        figure.suptitle(f"{len(chosen)} of {len(pictures)}, spread over the depth")
    return drawing.kept(figure, path)


def _draw(figure: Any, axes: Any, picture: Picture) -> None:
    """Draws a map: from 0 upwards in one hue, around 0 in two."""
    finite = picture.values[np.isfinite(picture.values)]
    low, high = finite.min(initial=0), finite.max(initial=0)
    limit = max(-low, high) or 1
    scale: dict[str, Any] = {"vmin": 0, "vmax": limit, "cmap": "viridis"}
    if low < 0:
        scale = {"vmin": -limit, "vmax": limit, "cmap": "RdBu_r"}
    is_montage = not picture.columns
    axes.imshow(
        picture.values,
        aspect="equal" if is_montage else "auto",
        interpolation="nearest",
        **scale,
    )
    axes.set_facecolor("0.85")
    figure.colorbar(axes.images[0], ax=axes)
    axes.set_title(picture.title, fontsize=9)
    axes.set_ylabel(picture.rows, fontsize=8)
    axes.set_xlabel(picture.columns, fontsize=8)
    axes.tick_params(labelsize=7)
    for axis in (axes.xaxis, axes.yaxis):
        axis.get_major_locator().set_params(integer=True)
    if is_montage:  # its places have no numbers
        axes.set(xticks=[], yticks=[])


def _titled(label: str, values: np.ndarray) -> str:
    """Returns a label, and what of the values a map does not show."""
    name = drawing.shortened(label)
    if values.size and not values.any():
        return f"{name}: exactly 0"
    broken = int(values.size - np.isfinite(values).sum())
    return f"{name}: {broken} not finite" if broken else name
