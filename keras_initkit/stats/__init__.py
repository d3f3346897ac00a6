"""Statistics of tensors: mergeable partials on the device, finished on the host.

While the step runs, each tensor becomes a row of scalars (count, mean, centred sum of
squares, extremes) and, where it has units, a short profile of each. Both merge over
replicas; `finalize` turns them into statistics, each as its file in
`keras_initkit_light/stats` defines it.
"""

from keras_initkit.stats._finalize import Layout as Layout
from keras_initkit.stats._finalize import finalize as finalize
from keras_initkit.stats._finalize import merge as merge
from keras_initkit.stats._finalize import rms_by_time as rms_by_time
from keras_initkit.stats.histogram import BINS as BINS
from keras_initkit.stats.histogram import buckets as buckets
from keras_initkit.stats.histogram import magnitudes as magnitudes
from keras_initkit.stats.partials import PARTIALS as PARTIALS
from keras_initkit.stats.partials import joined as joined
from keras_initkit.stats.partials import reduce as reduce
from keras_initkit.stats.reductions import Reduction as Reduction
from keras_initkit.stats.reductions import (
    is_compared_with_initial as is_compared_with_initial,
)
from keras_initkit.stats.reductions import reduction_of as reduction_of

__all__ = [
    "BINS",
    "PARTIALS",
    "Layout",
    "Reduction",
    "reduction_of",
    "is_compared_with_initial",
    "reduce",
    "joined",
    "merge",
    "finalize",
    "rms_by_time",
    "magnitudes",
    "buckets",
]
