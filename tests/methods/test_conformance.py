"""What every registered method keeps to; a new one is tested here without a new line."""

from __future__ import annotations

import pytest

from harness.conformance import examine
from harness.registry import METHODS


@pytest.mark.parametrize("name", METHODS.names())
def test_it_passes_every_check(name: str) -> None:
    found = list(examine(name))
    assert found
    assert [finding for finding in found if finding.state != "good"] == []


def test_none_of_ours_is_left_out() -> None:
    assert METHODS.names()
    assert [fault for fault in METHODS.faults if not fault.package] == []
