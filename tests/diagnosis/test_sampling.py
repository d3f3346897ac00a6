"""A limit is crossed by more than chance, or not at all."""

import numpy as np
import pytest
from scipy import stats

from keras_initkit.diagnosis.sampling import moment_range


@pytest.mark.parametrize("count", [1, 2, 10, 100, 10_000])
def test_range_is_that_of_chi_square(count):
    low, high = moment_range(2.0, count)
    chance = stats.norm.sf(4)
    assert stats.chi2.sf(2.0 * count / low, count) == pytest.approx(chance, rel=1e-6)
    assert stats.chi2.cdf(2.0 * count / high, count) == pytest.approx(chance, rel=1e-6)


def test_range_closes_in_on_many_entries():
    low, high = moment_range(1.0, 1e6)
    assert 1 - low == pytest.approx(4 * np.sqrt(2e-6), rel=0.02)
    assert high - 1 == pytest.approx(4 * np.sqrt(2e-6), rel=0.02)


def test_without_entries_all_is_possible():
    assert moment_range(1.0, 0) == (0, np.inf)
