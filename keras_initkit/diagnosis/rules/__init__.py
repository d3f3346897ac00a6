"""The rules: what a run that goes wrong looks like, by theme.

Each rule is a pure function over a `RunRecord`, declared with all there is to know
about it. Importing this fills `registry.RULES`, from what breaks the numbers to what
only slows learning; findings of one severity and step keep this order.
"""

from keras_initkit.diagnosis.rules import (  # noqa: I001  (in the order of the rules)
    finite as finite,
    symmetry as symmetry,
    no_gradient as no_gradient,
    gradients as gradients,
    through_time as through_time,
    progress as progress,
    activations as activations,
    representation as representation,
    phases as phases,
    drift as drift,
    weights as weights,
    rates as rates,
    loss as loss,
    data as data,
    outputs as outputs,
    objective as objective,
    evaluation as evaluation,
    ending as ending,
)
