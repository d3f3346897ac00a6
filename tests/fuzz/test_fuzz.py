"""Random models end at the same bits, watched or not."""

import dataclasses

import pytest

from tests.fuzz import models, trial


@pytest.mark.parametrize("seed", range(40))
def test_a_random_model_ends_at_the_same_bits(seed):
    recipe = models.draw(seed)
    recipe = dataclasses.replace(
        recipe, blocks=recipe.blocks[: 1 + seed % 2], histograms=False
    )
    outcome = trial.run(recipe)
    assert not outcome.fault, f"{outcome} {recipe}"
