"""The faults of the table, in their short form."""

import os

import pytest

if not hasattr(os, "fork"):
    pytest.skip("needs fork", allow_module_level=True)

from tests.faults import table


def hold(name, trials):
    try:
        outcomes = table.run(name, trials)
    except table.NotHereError as error:
        pytest.skip(str(error))
    assert outcomes == [""] * trials


SHORT = [name for name, fault in table.FAULTS.items() if fault.short]


@pytest.mark.parametrize("name", SHORT)
@pytest.mark.filterwarnings("ignore:.*fork.*")
def test_what_was_promised_holds(name):
    hold(name, table.FAULTS[name].short)


@pytest.mark.slow
@pytest.mark.parametrize("name", [n for n in table.FAULTS if n not in SHORT])
def test_what_was_promised_of_long_runs_holds(name):
    hold(name, 1)
