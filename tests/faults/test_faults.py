"""The faults of the table, in their short form."""

import os

import pytest

if not hasattr(os, "fork"):
    pytest.skip("needs fork", allow_module_level=True)

from tests.faults import table

SHORT = [name for name, fault in table.FAULTS.items() if fault.short]


@pytest.mark.parametrize("name", SHORT)
@pytest.mark.filterwarnings("ignore:.*fork.*")
def test_what_was_promised_holds(name):
    fault = table.FAULTS[name]
    outcomes = table.run(name, fault.short)
    assert outcomes == [""] * fault.short


@pytest.mark.slow
@pytest.mark.parametrize("name", [n for n in table.FAULTS if n not in SHORT])
def test_what_was_promised_of_long_runs_holds(name):
    assert table.run(name, 1) == [""]
