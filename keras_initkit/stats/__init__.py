"""Statistics of tensors: reduced on the device to mergeable partials, finished on the host.

A tensor becomes one row of *partials* (counts, a mean, a centred sum of squares, extremes)
while the step runs. Rows of several replicas merge without loss; `finalize` turns them into
the statistics that `schema.STATISTICS` defines.
"""

from keras_initkit.stats.finalize import finalize as finalize
from keras_initkit.stats.finalize import merge as merge
from keras_initkit.stats.partials import PARTIALS as PARTIALS
from keras_initkit.stats.partials import partials as partials

__all__ = ["PARTIALS", "partials", "merge", "finalize"]
