"""A trained network in an ONNX file, run by onnxruntime.

Source: the format is of the Linux Foundation, https://onnx.ai; `nstbench export` writes such files.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import Field

from harness.errors import WeightsError
from harness.protocols import Method
from harness.registry import METHODS

if TYPE_CHECKING:
    from harness.protocols import Context, Image, Stylizer

CPU, CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"
MISSING = "onnxruntime is not installed; run: pip install onnxruntime"


@METHODS.register("onnx")
@dataclass(frozen=True, kw_only=True)
class Onnx(Method):
    """Run a network from an ONNX file, with as many threads as torch.

    The network has one input and one output, (N, 3, height, width) in float32. On a GPU it runs
    with CUDA if onnxruntime has it, and images are copied through the main memory.
    """

    version: ClassVar[int] = 1

    path: str = ""
    """The ONNX file, relative to the suite's file."""
    white: Annotated[float, Field(gt=0)] = 1.0
    """Value of white in the network's images: 1, or 255 for networks of pytorch/examples."""

    @property
    def files(self) -> Mapping[str, str]:
        """The ONNX file."""
        return {"path": self.path}

    @property
    def unavailable(self) -> str:
        """Whether onnxruntime is missing."""
        return f"{MISSING}." if find_spec("onnxruntime") is None else ""

    def fit(self, style: Image, context: Context) -> Stylizer:
        """Load the network; the style that it has learned is that of the file."""
        import torch

        session = _session(Path(self.path), context)
        name = session.get_inputs()[0].name

        def stylize(content: Image, context: Context) -> Image:
            pixels = (content * self.white).cpu().numpy()
            try:
                (stylized,) = session.run(None, {name: pixels})
            except Exception as error:  # of onnxruntime, a class for each status
                raise WeightsError(
                    f"{Path(self.path).name} does not run on an input of {pixels.shape}: "
                    f"{_one_line(error)}"
                ) from None
            return torch.from_numpy(stylized).to(context.device) / self.white

        return stylize


def _session(path: Path, context: Context) -> Any:
    """Return an InferenceSession, and note what it runs on."""
    import torch

    try:
        import onnxruntime
    except ImportError:
        raise WeightsError(f"{MISSING}.") from None
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = torch.get_num_threads(), 1
    options.log_severity_level = 3  # errors; it writes warnings to stderr
    wanted = [CUDA, CPU] if context.device.type == "cuda" else [CPU]
    available = [name for name in wanted if name in onnxruntime.get_available_providers()]
    try:
        session = onnxruntime.InferenceSession(path, options, providers=available)
    except Exception as error:  # of onnxruntime, a class for each status
        raise WeightsError(f"{path} cannot be read as ONNX: {_one_line(error)}") from None
    if (counts := (len(session.get_inputs()), len(session.get_outputs()))) != (1, 1):
        raise WeightsError(
            f"{path.name} has {counts[0]} inputs and {counts[1]} outputs; the method `onnx` runs "
            "networks with one image as input and one as output."
        )
    providers = ", ".join(session.get_providers())
    context.note(
        f"onnxruntime {onnxruntime.__version__}: {providers}, {torch.get_num_threads()} threads"
    )
    if wanted[0] not in session.get_providers():
        context.note("This onnxruntime has no CUDA: the network ran on the CPU.")
    return session


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]
