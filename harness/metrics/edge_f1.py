"""Agreement of the edges of the stylized image with those of the content.

Source: Canny 1986, IEEE TPAMI 8(6), from scikit-image with its defaults (sigma 1, thresholds 0.1
    and 0.2 of the luma's gradient); F1 with a tolerance of 2 pixels, as in the boundary score of
    Martin, Fowlkes, Malik 2004, without their one-to-one matching.
Blind to: edges below the thresholds: a stylization of low contrast loses all edges; the cause of an
    edge: brush strokes count as errors; chance: a larger part of a small image is within 2 pixels
    of an edge, so that an unrelated photograph scores 0.8 at 64 pixels, 0.5 at 256, 0.4 at 512.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from harness.metrics._per_image_cache import cached_per_image
from harness.metrics.ssim import luma
from harness.protocols import Metric, Unavailable
from harness.registry import METRICS

if TYPE_CHECKING:
    from harness.protocols import Context, Image

TOLERANCE = 2  # pixels


@METRICS.register("edge_f1")
@dataclass(frozen=True, kw_only=True)
class EdgeF1(Metric):
    """Harmonic mean of precision and recall, in [0, 1]; 1 has exactly the content's edges."""

    version: ClassVar[int] = 1
    unit: ClassVar[str] = ""
    better: ClassVar[Literal["higher"]] = "higher"
    lens: ClassVar[str] = "pixels"
    effect: ClassVar[Literal["difference"]] = "difference"
    smallest: ClassVar[float] = 0.02  # one edge in fifty; the same as for SSIM

    def __call__(self, stylized: Image, content: Image, style: Image, context: Context) -> float:
        """Return the F1 of edge pixels; 0 if the stylized image has none."""
        expected, near_expected = _edges_of_content(content)
        if not expected.any():
            raise Unavailable("the content image has no edges")
        edges, near_edges = _edges(stylized)
        if not edges.any():
            return 0.0
        precision, recall = near_expected[edges].mean(), near_edges[expected].mean()
        return float(2 * precision * recall / max(precision + recall, 1e-12))


def _edges(image: Image) -> tuple[Any, Any]:
    """Return the edge pixels (H, W) and the pixels within `TOLERANCE` of one."""
    from scipy.ndimage import binary_dilation
    from skimage.feature import canny
    from skimage.morphology import disk

    edges = canny(luma(image))  # type: ignore[no-untyped-call]
    return edges, binary_dilation(edges, disk(TOLERANCE))  # type: ignore[no-untyped-call]


_edges_of_content = cached_per_image(_edges)
