"""Tables of results with known effects, to test the evaluation of claims."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pandas as pd

from harness.analysis.claims import evaluate_claims
from harness.records import Claim

STYLES = [f"s{i}" for i in range(6)]
CONTENTS = [f"c{i}" for i in range(6)]

NORM_CLAIM = Claim(
    id="F1", statement="Instance is lower.", factor="norm", levels=("batch", "instance"),
    metric="style_loss", predicts="lower", method="net",
)  # fmt: skip


def deviation(style: str, content: str) -> float:
    """Return the deviation of a block, between -0.05 and 0.05 and equal at all levels."""
    return ((int(style[1]) * 7 + int(content[1]) * 3) % 11 - 5) / 100


def make_results(
    value: Callable[..., float], *, styles: Any = STYLES, contents: Any = CONTENTS, **factors: Any
) -> pd.DataFrame:
    """Return results of each combination of factors, scored by `value(style, content, **levels)`.

    `seed` and `size` have their own columns; other factors are parameters of the method.
    """
    rows = []
    for style, content, *levels in itertools.product(styles, contents, *factors.values()):
        setting = {"seed": 0, "size": 256, **dict(zip(factors, levels, strict=True))}
        params = {f"param.{k}": str(v) for k, v in setting.items() if k not in ("seed", "size")}
        name = ",".join(params.values())
        rows.append({
            "label": "net", "variant": f"net[{name}]", "anchor": False, "style": style,
            "content": content, "status": "done", "seed": setting["seed"], "size": setting["size"],
            "encoder": "vgg19", "encoder_sha256": "0", "precision": "float32", "device": "cpu",
            "passes": 100, "fit_seconds": 0.0, "style_loss": value(style, content, **setting),
            "ssim": 0.5 + deviation(style, content), **params,
        })  # fmt: skip
    return pd.DataFrame(rows)


def loss(style: str, content: str, *, norm: str = "batch", **rest: Any) -> float:
    """Return a loss of about 0.4, and about half of it for instance normalisation."""
    factor = 0.5 * (1 + deviation(style, content)) if norm == "instance" else 1.0
    return 0.4 * (1 + 5 * deviation(content, style)) * factor


def evaluate_one(
    results: pd.DataFrame, claim: Claim, lenses: Mapping[str, str] | None = None, **options: Any
) -> Any:
    """Return the only row of a claim."""
    (row,) = evaluate_claims(results, [claim], lenses or {}, **options)
    return row


def additive_score(style: str, content: str, norm: str, tv: float, **rest: Any) -> float:
    """Return about 0.5, plus 0.2 for instance normalisation, 0.1 for TV and 0.04 for both."""
    instance, with_tv = norm == "instance", tv > 0
    effect = 0.2 * instance + 0.1 * with_tv + 0.04 * (instance and with_tv)
    return 0.5 + deviation(style, content) + effect


SSIM_CLAIM = replace(NORM_CLAIM, metric="ssim", predicts="higher")


def factorial_results() -> pd.DataFrame:
    results = make_results(additive_score, norm=["batch", "instance"], tv=[0.0, 5.0])
    return results.assign(ssim=results["style_loss"])
