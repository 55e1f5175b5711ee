"""Every mutation of a suite gives a plan or a message with its position, without side effects."""

from __future__ import annotations

import signal
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.helpers.hostile_suites import MUSEUM, SUITES, mutated, overrides
from tests.helpers.suite_outcomes import COLLECTED, outcome_of, plan_suite

# Mutations of the packaged suites.

PROFILES = st.sampled_from(["", "quick", "full"])
TRIALS: dict[str, tuple[dict[str, Any], int, int]] = {
    # strategies; number of examples in the default run and in the slow one
    "suites": ({"suite": mutated(SUITES), "profile": PROFILES}, 180, 7000),
    "collections": ({"collection": mutated([MUSEUM])}, 60, 1500),
    "overrides": (
        {
            "suite": st.sampled_from([path.read_bytes() for path in SUITES]),
            "overrides": st.lists(overrides(), min_size=1, max_size=2),
        },
        60,
        1500,
    ),
}


def count_outcomes(kind: str, folder: Path, examples: int) -> Counter[str]:
    """Count the outcomes of generated cases, which are the same in every run."""
    found: Counter[str] = Counter()
    path = folder / "suite.yaml"
    plan_suite(SUITES[0])  # complete lazy imports before the audit

    @settings(
        max_examples=examples, deadline=None, derandomize=True, database=None,
        suppress_health_check=[*HealthCheck],
    )  # fmt: skip
    @given(st.fixed_dictionaries(TRIALS[kind][0]))
    def try_one(case: dict[str, Any]) -> None:
        path.write_bytes(case.get("suite", COLLECTED.encode()))
        path.with_name("own.yaml").write_bytes(case.get("collection", b""))
        found[outcome_of(path, case.get("profile", ""), tuple(case.get("overrides", ())))] += 1

    try_one()
    assert {path.name for path in folder.iterdir()} == {"suite.yaml", "own.yaml"}
    return found


@pytest.mark.parametrize("kind", TRIALS)
def test_every_mutation_gives_a_plan_or_a_message_with_its_position(
    kind: str, tmp_path: Path
) -> None:
    found = count_outcomes(kind, tmp_path, TRIALS[kind][1])
    # With only one outcome, the mutations would be too weak or too strong.
    assert set(found) == {"planned", "rejected"}


@pytest.mark.slow
def test_ten_thousand_mutations_give_a_plan_or_a_message(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    signal.alarm(0)
    for kind, (_, _, examples) in TRIALS.items():
        found = count_outcomes(kind, tmp_path, examples)
        with capsys.disabled():
            print(f"\n{kind}: {found.total():,} tried, {dict(found)}", end="")
