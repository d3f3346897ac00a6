"""`activations` and `gradients` on every kind of model: true, and nothing is moved."""

import keras
import kinds
import numpy as np
import pytest

import keras_initkit as kik
from keras_initkit.structure.in_place import forward, unchanged


def values_of(model):
    return [keras.ops.convert_to_numpy(v.value) for v in model.variables]


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[] if name in kinds.DEFAULT else [pytest.mark.slow])
        for name in kinds.KINDS
    ],
)
def test_values_of(name):
    kind = kinds.KINDS[name]
    keras.utils.set_random_seed(1)
    model = kind.build()
    x, y, _ = kind.batch()
    with unchanged(model):
        outputs = keras.tree.flatten(forward(model, x))  # builds it, too
    before = values_of(model)
    seen = kik.activations(model, x)
    # Whatever layer gives an output of the model, has it.
    arrays = list(seen.arrays.values())
    rearranged = "rearranges" in str(seen.unseen)
    for output in map(keras.ops.convert_to_numpy, outputs):
        alike = [one for one in arrays if one.size == output.size]
        assert rearranged or any(
            np.allclose(np.ravel(one), np.ravel(output), rtol=1e-3, atol=1e-5)
            for one in alike
        )
    found = kik.gradients(model, x, y)
    assert bool(found.weights) == bool(model.trainable_variables)
    assert str(seen)
    assert str(found)
    np.testing.assert_equal(values_of(model), before)
