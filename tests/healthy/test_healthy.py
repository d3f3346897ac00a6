"""Healthy models: nothing is said of them, before, during or after."""

import pytest

from tests.healthy.judging import judge
from tests.healthy.setups import DEFAULT, EXPLAINED, SETUPS, is_large


def test_there_are_enough_of_them():
    assert len(SETUPS) >= 50
    assert set(EXPLAINED) <= set(SETUPS)
    assert set(SETUPS) >= DEFAULT


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=() if name in DEFAULT else pytest.mark.slow)
        for name in SETUPS
    ],
)
def test_nothing_is_said_of_a_healthy_model(name):
    verdict = judge(name, SETUPS[name], fit=not is_large(name))
    explained = EXPLAINED.get(name, {})
    said = [*verdict.before, *verdict.during]
    assert [str(one) for one in said if one.rule not in explained] == []
    assert [str(one) for one in said if one.severity == "error"] == []
    assert [str(one) for one in verdict.after] == []
