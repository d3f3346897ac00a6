"""The faults of the table, in their short form."""

import os

import pytest

if not hasattr(os, "fork"):
    pytest.skip("needs fork", allow_module_level=True)

from tests.faults import table


def outcomes_of(name, trials):
    try:
        return table.run(name, trials)
    except table.NotHereError as error:
        pytest.skip(str(error))


SHORT = [name for name, fault in table.FAULTS.items() if fault.short]


@pytest.mark.parametrize("name", SHORT)
@pytest.mark.filterwarnings("ignore:.*fork.*")
def test_what_was_promised_holds(name):
    trials = table.FAULTS[name].short
    assert outcomes_of(name, trials) == [""] * trials


@pytest.mark.slow
@pytest.mark.parametrize("name", [n for n in table.FAULTS if n not in SHORT])
def test_what_was_promised_of_long_runs_holds(name):
    assert outcomes_of(name, 1) == [""]
