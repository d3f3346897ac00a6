"""The words of the project: signals, statistics, tags and the stored payload.

Every tag, column, plot axis and rule refers to these by name. What signals and
statistics there are is declared in `keras_initkit_light.stats`.
"""

import dataclasses
import re
import urllib.parse
from collections.abc import Iterable
from typing import Any

from keras_initkit_light.stats import STATISTICS as STATISTICS
from keras_initkit_light.stats.definition import Statistic as Statistic
from keras_initkit_light.stats.signals import ALL_SIGNALS as ALL_SIGNALS
from keras_initkit_light.stats.signals import EVALUATION_SIGNALS as EVALUATION_SIGNALS
from keras_initkit_light.stats.signals import SIGNALS as SIGNALS
from keras_initkit_light.stats.signals import Signal as Signal

PLUGIN_NAME = "initkit"
# Before 3 every matrix was an event of its own; since then they come in chunks
# (`packing`). Before 4 the record lay beside the summaries for stock dashboards, in the
# directory `OLD_RECORD_RUN` below them; now both are in one file (`files`), chunks and
# texts have checksums (`sealing`), and a run has an identity.
DATA_VERSION = 4
OLD_RECORD_RUN = "initkit"


# Of findings, from harmless to fatal.
SEVERITIES = ("info", "warning", "error")

# Columns of a magnitude histogram: shares of the values whose magnitude lies in an
# octave [2^e, 2^(e+1)), and of those beside the octaves. Denormals count as zero.
FIRST_OCTAVE, OCTAVES = -64, 96
HISTOGRAM_COLUMNS = (
    "zero",
    "below",
    *(f"2^{e}" for e in range(FIRST_OCTAVE, FIRST_OCTAVE + OCTAVES)),
    "above",
    "nonfinite",
)

# Columns of a matrix over time: the rms of each time step, of tensors of rank 3 (batch,
# time, features). A longer sequence is cut into that many groups of equal length (as
# near as whole steps allow), each the root of its mean square; behind a shorter one
# stands NaN.
TIME_STEPS = 128
TIME_COLUMNS = tuple(str(step) for step in range(TIME_STEPS))
TIME_SIGNALS = ("activation", "backprop")

# Columns of a matrix of what theory predicts of a signal before training.
PREDICTION_COLUMNS = ("rms",)


# What a weight is in its layer: what rules, charts and views that mean kernels ask for.
ROLES = {
    "kernel": "multiplies a signal: the matrix of a product, a convolution, an einsum",
    "recurrent_kernel": "multiplies the state of a recurrent layer",
    "table": "is looked up, row by row, as embeddings are",
    "scale": "multiplies a signal entry by entry",
    "offset": "is added to a signal, or taken from it: a bias",
    "position": "is added to a signal, with a row of its own for each place",
    "low_rank": "is a factor of a product that is added to a kernel (LoRA)",
    "quantization": "is kept of how another weight was quantized",
    "other": "is used in another way, or in a way that is not known",
}
# Weights that carry a signal from one layer to the next: depth is counted by these.
CARRIERS = ("kernel", "recurrent_kernel", "table")
# Weights that start at 0 or 1, and are left out where kernels are compared.
VECTORS = ("scale", "offset")

# How the reason begins, among those of `metadata["untapped"]`, where a trainable weight
# gets no gradient at all, because the loss does not depend on it.
INDEPENDENT = "gradient: the loss does not depend on "


# How much is recorded of a tensor: all statistics, or those that take no more of it
# than the sum of its squares.
DETAILS = ("full", "norms")


def statistics_of(signal: str, detail: str = "full") -> tuple[str, ...]:
    """Returns the names of the statistics computed for a signal, in stored order.

    Args:
        signal: Name of the signal.
        detail: One of `DETAILS`.
    """
    check_signals((signal,))
    return tuple(
        one.name
        for one in STATISTICS.values()
        if signal in one.signals and (detail == "full" or not one.needs)
    )


def check_names(argument: str, names: Any) -> tuple[str, ...]:
    """Returns names as a tuple.

    Raises:
        TypeError: If they are no strings, or one string, or nothing to go through.
    """
    try:
        several = None if isinstance(names, str | bytes) else tuple(names)
    except TypeError:
        several = None
    if several is None or not all(isinstance(name, str) for name in several):
        raise TypeError(
            f"`{argument}` must be a list of names. Received: {argument}={names!r} of "
            f"type {type(names).__name__}"
        )
    return several


def check_signals(signals: Iterable[str]) -> tuple[str, ...]:
    """Returns `signals` as a tuple in the order of `ALL_SIGNALS`.

    Raises:
        TypeError: If they are no names.
        ValueError: If one of them is no signal, or there is none.
    """
    signals = check_names("signals", signals)
    unknown = [name for name in signals if name not in ALL_SIGNALS]
    if unknown or not signals:
        raise ValueError(
            f"`signals` must name at least one of {tuple(ALL_SIGNALS)}. "
            f"Received: signals={signals}"
        )
    return tuple(name for name in ALL_SIGNALS if name in signals)


@dataclasses.dataclass(frozen=True, order=True)
class TensorKey:
    """Which tensor of a signal: one row of its matrix.

    Attributes:
        layer: `layer.path`, or the owner's path for a weight.
        tensor: `"output"` (or `"output_1"`... where a layer returns several) for
            signals of layers, with `"#2"` behind it in a second backward pass, the
            variable's name (`"kernel"`) for those of weights.
        call: 0 for a layer's first call in the step, 1 for its second (a shared
            layer)...; for signals of weights, 0 for the first time that an optimizer
            updates it in the step, 1 for the second...
    """

    layer: str
    tensor: str
    call: int = 0

    @property
    def label(self) -> str:
        """The key as one string, unique among the keys of a signal."""
        tensor = "" if self.tensor == "output" else f":{_quote(self.tensor)}"
        call = f"@{self.call}" if self.call else ""
        return f"{_quote(self.layer)}{tensor}{call}"

    @classmethod
    def from_label(cls, label: str) -> "TensorKey":
        """Returns the key that `label` was made of."""
        match = re.fullmatch(r"(?P<l>[^:@]*)(:(?P<t>[^:@]*))?(@(?P<c>\d+))?", label)
        if match is None:
            raise ValueError(
                "`label` must read '<layer path>[:<tensor>][@<call>]'. "
                f"Received: label={label!r}"
            )
        tensor = "output" if match["t"] is None else _unquote(match["t"])
        return cls(_unquote(match["l"]), tensor, int(match["c"] or 0))


def tag(signal: str, key: TensorKey, statistic: str) -> str:
    """Returns `<signal>/<layer path>[:<tensor>][@<call>]/<statistic>`.

    Example:
    >>> tag("gradient", TensorKey("block1/conv", "kernel"), "rms")
    'gradient/block1/conv:kernel/rms'
    """
    return f"{signal}/{key.label}/{statistic}"


def parse_tag(text: str) -> tuple[str, TensorKey, str]:
    """Returns the signal, tensor key and statistic that a tag was made of.

    Raises:
        ValueError: If `text` is no tag of this grammar.

    Example:
    >>> parse_tag("activation/dense@1/std")
    ('activation', TensorKey(layer='dense', tensor='output', call=1), 'std')
    """
    signal, _, rest = text.partition("/")
    label, _, statistic = rest.rpartition("/")
    if signal not in ALL_SIGNALS or not label or statistic not in STATISTICS:
        raise ValueError(
            "`text` must read '<signal>/<layer path>[:<tensor>][@<call>]/<statistic>' "
            f"with a signal of {tuple(ALL_SIGNALS)} and a statistic of "
            f"{tuple(STATISTICS)}. Received: text={text!r}"
        )
    return signal, TensorKey.from_label(label), statistic


def matrix_tag(series: str, kind: str = "statistics") -> str:
    """Returns the tag of a series of matrices.

    Args:
        series: Name of the signal, with `"#<n>"` behind where its rows changed.
        kind: `"statistics"`, `"norms"`, `"histogram"` or `"time"`.
    """
    return f"{PLUGIN_NAME}/{series}" + ("" if kind == "statistics" else f"/{kind}")


def prediction_tag(signal: str) -> str:
    """Returns the tag of the matrix (kind `"prediction"`) predicted of a signal."""
    return f"{PLUGIN_NAME}/prediction/{signal}"


def metrics_tag(names: Iterable[str], part: int = 0) -> str:
    """Returns the tag of the metrics of these names, after steps went back n times."""
    number = f"#{part}" if part else ""
    quoted = (urllib.parse.quote(name, "", errors="surrogatepass") for name in names)
    return f"{METRICS_TAG}{number}/{','.join(quoted)}"


# Name of the metric that tells what monitoring costs: the extra time of the monitored
# steps so far (above the median of the unmonitored ones; where there are none, the host
# time of recording and writing only) over the training time so far, in [0, 1].
OVERHEAD = "monitor_overhead"
# Name of the metric that tells how many steps a `LossScaleOptimizer` had skipped ahead
# of a monitored one, since `fit` began, because their gradients were not finite.
SKIPPED = "skipped_steps"

# Tags of a run's own facts (JSON), of the metrics of the monitored steps, and of the
# findings: JSON `{"findings": [...]}`, the whole list as it stands at that step, each
# as `Finding.to_dict` has it, with `"cleared"` (the step at which it ceased, or null).
# Logs of before causes were told have no `"because_of"`.
RUN_TAG = f"{PLUGIN_NAME}/run"
METRICS_TAG = f"{PLUGIN_NAME}/metrics"
FINDINGS_TAG = f"{PLUGIN_NAME}/findings"
# What a file of a log says of itself (JSON), at its beginning and when it is closed:
# see `files.Opened` and `files.Closed`.
FILE_TAG = f"{PLUGIN_NAME}/file"
# The first matrix of a series once more, where no sampling of steps can drop it.
FIRST_SUFFIX = "@init"


# The separators of the grammar, and halves of UTF-16 pairs, which no file can hold:
# inside names a percent sign and their code point stand for them.
_TO_QUOTE = re.compile("[%:@\ud800-\udfff]")
_QUOTED = re.compile("%(25|3A|40|D[89A-F][0-9A-F]{2})")


def _quote(name: str) -> str:
    return _TO_QUOTE.sub(lambda found: f"%{ord(found[0]):02X}", name)


def _unquote(name: str) -> str:
    return _QUOTED.sub(lambda found: chr(int(found[1], 16)), name)


def well_formed(text: str) -> str:
    """Returns a text whose lone halves of UTF-16 pairs are escaped: no file has one."""
    return text.encode("utf-8", "backslashreplace").decode()
