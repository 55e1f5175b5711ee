"""Every registered method passes the conformance checks; new methods are included."""

from __future__ import annotations

import pytest

from harness.conformance import examine
from harness.registry import METHODS


@pytest.mark.parametrize("name", METHODS.names())
def test_every_method_passes_every_conformance_check(name: str) -> None:
    findings = list(examine(name))
    assert findings
    assert [finding for finding in findings if finding.state != "good"] == []


def test_every_method_of_this_repository_is_registered() -> None:
    assert METHODS.names()
    assert [fault for fault in METHODS.faults if not fault.package] == []
