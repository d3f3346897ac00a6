"""Statistics of tensors: mergeable partials on the device, finished on the host.

While the step runs, each tensor becomes a row of scalars (count, mean, centred sum of
squares, extremes) and, where it has units, a short profile of each. Both merge over
replicas; `finalize` turns them into what `schema.STATISTICS` defines.
"""

from keras_initkit.stats._finalize import finalize as finalize
from keras_initkit.stats._finalize import merge as merge
from keras_initkit.stats._finalize import rms_by_time as rms_by_time
from keras_initkit.stats.histogram import BINS as BINS
from keras_initkit.stats.histogram import buckets as buckets
from keras_initkit.stats.histogram import magnitudes as magnitudes
from keras_initkit.stats.partials import PARTIALS as PARTIALS
from keras_initkit.stats.partials import Reduction as Reduction
from keras_initkit.stats.partials import joined as joined
from keras_initkit.stats.partials import reduce as reduce

__all__ = [
    "BINS",
    "PARTIALS",
    "Reduction",
    "reduce",
    "joined",
    "merge",
    "finalize",
    "rms_by_time",
    "magnitudes",
    "buckets",
]
