"""Stores with synthetic records, and a parser for their pages."""

from __future__ import annotations

import io
from dataclasses import fields, is_dataclass, replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from PIL import Image

from harness.records import Cell, EncoderUse, ImageUse, Record, Run, Score, Timing, TracePoint
from harness.store import Store

ENCODER = EncoderUse("vgg19", "e" * 64, "torchvision")
CUP = ImageUse("cup", "1" * 64, "scikit-image", "A cup", "Someone", 2014, "CC0")
CAT = ImageUse("cat", "2" * 64, "scikit-image", "A cat")
WAVE = ImageUse("wave", "3" * 64, "painted", stand_in="swirls", why_stand_in="no network at all")
ANCHORS = ("identity",)
HOSTILE = "</script></style><img src=x onerror=alert(1)>\"'{{7*7}}"


def png(color: tuple[int, int, int] = (200, 60, 20), size: tuple[int, int] = (40, 30)) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", size, color).save(buffer, "PNG")
    return buffer.getvalue()


def cell(variant: str, content: ImageUse = CUP, **changes: Any) -> Cell:
    label, _, level = variant.rstrip("]").partition("[")
    facts: dict[str, Any] = {
        "suite": "artists",
        "variant": variant,
        "label": label,
        "method": label,
        "version": 1,
        "params": {"optimizer": level, "iterations": 5, "tv_weight": 1e-5},
        "levels": {"optimizer": level},
        "content": content,
        "style": WAVE,
        "size": 64,
        "seed": 0,
        "encoder": ENCODER,
        "precision": "float32",
        "device": "cpu",
        "anchor": label in ANCHORS,
    }
    return Cell(**facts | changes)


def record(of: Cell, ssim: float | None = 0.5, style_loss: float = 0.1, **changes: Any) -> Record:
    scores = (
        Score("ssim", ssim, "", "higher", "pixels", why_missing="" if ssim else "too small"),
        Score("lpips", None, "", "lower", "none", why_missing="no trained trunk"),
        Score("style_loss", style_loss, "ratio", "lower", "vgg19"),
        Score("roughness", 1.25, "ratio", "neither", "pixels"),
    )
    timing = Timing(2.0, False, 4.0, 1, 0.1, 5, (9.0, 10.0, 11.0), 512.0, "process")
    facts: dict[str, Any] = {"scores": scores, "timing": timing, "width": 40, "height": 30}
    return Record(of, changes.pop("status", "done"), **facts | changes)


def store_of(out: Path, records: list[Record], **changes: Any) -> Store:
    store = Store(out, "artists")
    for color, one in enumerate(records):
        trace = [TracePoint("stylize", i, i * 0.1, {"total": 100.0 / (i + 1)}) for i in range(5)]
        store.write(one, png((30 * color, 60, 20)) if one.ok else None, trace if one.ok else [])
        for use in (one.cell.content, one.cell.style):
            store.write_input(use, one.cell.size, png((90, 250, 60 * int(use.sha256[0]))))
    facts: dict[str, Any] = {
        "suite": "artists",
        "description": "Who is best?",
        "profile": "laptop",
        "cells": tuple(one.cell.id for one in records),
        "skipped": (),
        "metrics": ("ssim", "lpips", "style_loss", "roughness"),
        "encoder": ENCODER,
        "device": "cpu",
        "precision": "float32",
        "finished": True,
    }
    store.write_run(Run(**facts | changes))
    return store


class Element:
    def __init__(self, tag: str, attributes: dict[str, str], parents: tuple[Element, ...]) -> None:
        self.tag, self.attributes, self.parents = tag, attributes, parents
        self.text = ""

    @property
    def words(self) -> str:
        return " ".join(self.text.split())


class Page(HTMLParser):
    """All elements of a page, with their attributes and the text inside them."""

    VOID = frozenset({"meta", "link", "img", "br", "wbr", "input"})

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[Element] = []
        self._open: list[Element] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        element = Element(tag, {n: value or "" for n, value in attrs}, tuple(self._open))
        self.elements.append(element)
        if tag not in self.VOID and tag != "path":
            self._open.append(element)

    def handle_endtag(self, tag: str) -> None:
        while tag in {e.tag for e in self._open} and self._open.pop().tag != tag:
            pass

    def handle_data(self, data: str) -> None:
        for element in self._open:
            element.text += data

    def all(self, tag: str = "", **attributes: str) -> list[Element]:
        """Return elements by tag and attributes; `class_` matches one of several classes."""
        class_name = attributes.pop("class_", "")
        names = {name.replace("_", "-"): value for name, value in attributes.items()}
        return [
            e
            for e in self.elements
            if tag in ("", e.tag)
            and all(e.attributes.get(n) == v for n, v in names.items())
            and (not class_name or class_name in e.attributes.get("class", "").split())
        ]

    def inside(self, outer: Element, inner: Element) -> bool:
        """Return whether `inner` is a descendant of `outer`."""
        return outer in inner.parents


def board_row(html: Page, variant: str) -> dict[str, tuple[str, bool, bool]]:
    """Return (text, best, circular) by column for the row of a variant in the leaderboard."""
    (row,) = html.all("tr", data_variant=variant)
    marks = {
        kind: [e for e in html.all("span", class_=kind) if html.inside(row, e)]
        for kind in ("nst-best", "nst-circular")
    }
    return {
        td.attributes["data-column"]: (
            td.words,
            any(html.inside(td, e) for e in marks["nst-best"]),
            any(html.inside(td, e) for e in marks["nst-circular"]),
        )
        for td in html.all("td")
        if "data-column" in td.attributes and html.inside(row, td)
    }


def hostile(data: Any) -> Any:
    """Return a copy with a hostile prefix in every free string; fields with fixed values stay."""
    fixed = {"status", "better", "phase", "peak_of", "predicts", "control"}
    if is_dataclass(data) and not isinstance(data, type):
        return replace(
            data,
            **{
                f.name: hostile(getattr(data, f.name))
                for f in fields(data)
                if f.init and f.name not in fixed
            },
        )
    if isinstance(data, dict):
        return {HOSTILE + key: hostile(value) for key, value in data.items()}
    if isinstance(data, tuple):
        return tuple(hostile(value) for value in data)
    return HOSTILE + data if isinstance(data, str) else data
