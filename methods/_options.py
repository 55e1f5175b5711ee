"""What the recipes' parameters may be, as types that pydantic checks; no torch."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

GramDivisor = Literal["hw", "chw", "none"]
Reduction = Literal["mean", "sum", "half_sum"]
Balance = Literal["relative", "absolute"]
Weight = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Fraction = Annotated[float, Field(gt=0, le=1)]
