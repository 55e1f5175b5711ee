from __future__ import annotations

from pathlib import Path

import pytest

from harness.resources import precision


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("flags\t\t: fpu avx512f avx512_bf16 clzero", "bfloat16"),
        ("flags\t\t: fpu amx_tile amx_bf16 amx_int8", "bfloat16"),
        ("Features\t: fp asimd bf16 i8mm", "bfloat16"),
        ("flags\t\t: fpu avx2 avx512f", "float32"),
        ("Features\t: fp asimd", "float32"),
        ("", "float32"),
    ],
)
def test_auto_selects_bfloat16_if_the_processor_has_it(
    line: str, expected: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text(f"processor\t: 0\nmodel name\t: with bf16 in its name\n{line}\n")
    monkeypatch.setattr(precision, "CPUINFO", cpuinfo)
    assert precision.resolve("auto", "cpu") == expected


def test_auto_selects_float32_for_an_unknown_processor(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(precision, "CPUINFO", tmp_path / "none")
    assert precision.resolve("auto", "cpu") == "float32"


@pytest.mark.parametrize("name", ["float32", "bfloat16"])
def test_an_explicit_precision_is_used(name: str) -> None:
    assert precision.resolve(name, "cpu") == name
