"""A suite of one pair at 64 px that needs no weights and runs in a second."""

from __future__ import annotations


def small_suite(name: str = "s", methods: str = "{identity: }", *lines: str) -> str:
    """Return the text of the suite.

    Args:
        name: Its name.
        methods: Its methods, in YAML.
        lines: Further keys, such as `metrics: [ssim]`.
    """
    return "\n".join([
        "version: 1",
        f"name: {name}",
        "encoder: random",
        "sizes: [64]",
        "contents: {coffee: {builtin: coffee}}",
        "styles: {grass: {builtin: grass}}",
        *lines,
        f"methods: {methods}",
        "",
    ])  # fmt: skip
