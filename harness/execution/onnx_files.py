"""Write a network as an ONNX file, and run one with onnxruntime."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import nn

from harness.errors import ExportError
from harness.protocols import Image

OPSET = 18
"""Version of ONNX' operators: the oldest that torch's exporter writes without conversion, so that
most programs read it (onnxruntime from 1.14 on)."""

INPUT, OUTPUT = "image", "stylized"

PACKAGES = ("onnx", "onnxruntime", "onnxscript")

MEANING = (
    f"{INPUT}: sRGB in [0, 1], float32 (batch, 3, height, width), any size from 8 pixels. "
    f"{OUTPUT}: the same shape, not clamped."
)


def save_onnx(module: nn.Module, path: Path, metadata: Mapping[str, str]) -> None:
    """Write a network for images of any number, height and width.

    Raises:
        ExportError: A package is missing, or ONNX has no form of one of the operations.
    """
    if missing := [name for name in PACKAGES if find_spec(name) is None]:
        raise ExportError(
            f"The export to ONNX requires {', '.join(missing)}; run: pip install "
            f"{' '.join(missing)}"
        )
    dimension = torch.export.Dim
    shape = {0: dimension("batch"), 2: dimension("height", min=8), 3: dimension("width", min=8)}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            program = torch.onnx.export(
                module.eval(),
                (torch.rand(2, 3, 62, 85),),
                dynamo=True,
                dynamic_shapes=(shape,),
                input_names=[INPUT],
                output_names=[OUTPUT],
                opset_version=OPSET,
                verbose=False,
            )
    except Exception as error:  # torch and onnxscript raise any exception
        raise ExportError(f"ONNX cannot represent this network: {_reason(error)}") from None
    assert program is not None
    model = program.model_proto
    for axis, name in ((0, "batch"), (2, "height"), (3, "width")):  # in place of formulas
        model.graph.output[0].type.tensor_type.shape.dim[axis].dim_param = name
    model.doc_string = MEANING
    for key, value in {**metadata, "images": MEANING}.items():
        model.metadata_props.add(key=key, value=value)
    path.write_bytes(model.SerializeToString())


def load_onnx(path: Path) -> Callable[[Image], Image]:
    """Return a function that runs a network of `save_onnx` on the CPU."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return lambda image: torch.from_numpy(session.run(None, {INPUT: image.numpy()})[0])


def _reason(error: BaseException) -> str:
    """Return the first line of the innermost cause, which names the operation."""
    while error.__cause__ is not None:
        error = error.__cause__
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
