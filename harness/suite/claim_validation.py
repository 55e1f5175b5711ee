"""Checks of a suite's claims."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from harness.errors import listed, nearest, quoted
from harness.records import RECIPES, Claim
from harness.registry import METHODS, METRICS, quantities, settings
from harness.suite.schema import SHARED_AXES, ClaimModel, MethodSpec, SuiteModel
from harness.suite.source import Key


def claim_problems(model: SuiteModel, methods: Sequence[MethodSpec]) -> Iterator[tuple[Key, str]]:
    """Yield each mistake in the claims with its path."""
    fields = {m.label: settings(METHODS.get(m.method)) for m in methods}
    for name, claim in model.claims.items():
        for key, what in (*_metric_problems(claim), *_factor_problems(claim, fields)):
            yield ("claims", name, *key), what


def build_claims(model: SuiteModel) -> list[Claim]:
    """Return the claims of a suite without mistakes."""
    return [_claim(name, claim) for name, claim in model.claims.items()]


def _metric_problems(claim: ClaimModel) -> Iterator[tuple[Key, str]]:
    for i, metric in enumerate((claim.metric, *claim.also)):
        if not quantities.known(metric):
            known = [*METRICS.names(), *quantities.COSTS]
            what = f"{quoted(metric)} is not a metric or a cost: {', '.join(known)}."
            yield ("metric",) if i == 0 else ("also", i - 1), what + nearest(metric, known)
    if claim.smallest and claim.smallest <= 1 and _compared_by_ratio(claim.metric):
        what = f"{claim.smallest} is not a ratio above 1; effects on {claim.metric} are ratios."
        yield ("smallest",), what


def _compared_by_ratio(metric: str) -> bool:
    return quantities.measure(metric).effect == "ratio"


def _factor_problems(
    claim: ClaimModel, fields: Mapping[str, Sequence[str]]
) -> Iterator[tuple[Key, str]]:
    """Yield factors that are not parameters of a method of the suite."""
    if claim.factor in RECIPES and not claim.method:
        return
    if claim.method not in fields:
        what = f"{quoted(claim.method)} is not one of the methods: {listed(fields)}."
        yield ("method",), what + nearest(claim.method, fields)
        return
    known = [*fields[claim.method], *SHARED_AXES, "seed", "size"]
    for place, names in (
        ("factor", [claim.factor]), ("where", claim.where), ("across", claim.across),
        ("tuned", [claim.tuned] if claim.tuned else []),
    ):  # fmt: skip
        for name in names:
            if name not in known:
                what = f"{quoted(name)} is not a parameter of {claim.method}: {', '.join(known)}."
                yield (place,), what + nearest(name, known)


def _claim(name: str, model: ClaimModel) -> Claim:
    values = model.model_dump(exclude={"levels", "across", "also"})
    return Claim(
        id=name,
        levels=(model.levels[0], model.levels[1]),
        across={factor: (one, other) for factor, (one, other) in model.across.items()},
        also=tuple(model.also),
        **values,
    )
