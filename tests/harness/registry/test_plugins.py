"""Errors in methods of other packages are reported, and do not affect other methods."""

from __future__ import annotations

import importlib
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from harness.errors import UnknownNameError
from tests.helpers import fake_packages
from tests.helpers.command_line import nstbench
from tests.helpers.fake_packages import install

HEAD = '''\
"""Source: none; made up for tests."""

import os, sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

from nstbench import METHODS, Method

'''

SOUND = '''
@METHODS.register("{name}")
@dataclass(frozen=True, kw_only=True)
class {title}(Method):
    """Return the content."""

    version: ClassVar[int] = 1
    {field}

    def fit(self, style, context):
        return lambda content, context: content.clone()
'''


def sound(name: str, field: str = "strength: float = 0.5", title: str = "Sound") -> str:
    return SOUND.format(name=name, field=field, title=title)


GOOD: dict[str, str] = {
    "mild": HEAD + sound("mild"),
    "noisy": HEAD + sound("noisy") + """
print("output of python")
os.write(1, b"output of the system\\n")
os.system("echo output of a child")
""",
    "curious": HEAD + """
Gatys = METHODS.get("gatys")

@METHODS.register("curious")
@dataclass(frozen=True, kw_only=True)
class Curious(Gatys):
    "Extend a method of nstbench when it is imported."
    iterations: int = 7
""",
    "sibling": HEAD + sound("sibling") + sound("sick", "weight: float", "Sick"),
}  # fmt: skip

BAD: dict[str, tuple[str, str]] = {
    # name -> the code that registers it, a part of the message
    "lacking": ("import nothing_of_that_name", "ModuleNotFoundError: No module named 'nothing_of"),
    "raising": ("raise ValueError('a brush\\nis missing')", "ValueError: a brush."),
    "leaving": ("import sys; sys.exit(7)", "SystemExit: 7"),
    "unreadable": ("def paint(:\n    pass", "SyntaxError: "),
    "beyond": ("class Odd(BaseException): ...\nraise Odd('far')", "beyond.Odd: far"),
    "half": (HEAD + sound("half") + "1 / 0", "ZeroDivisionError: division by zero"),
    "carved": ("", "ZeroDivisionError: division by zero"),  # in `workshop`
    "another": ("import mild\n1 / 0", "ZeroDivisionError: division by zero"),
    "hollow": (HEAD, "hollow was imported and registers no method"),
    "nameless": (HEAD + sound("x").replace('register("x")', "register"),
                 "@METHODS.register requires a name"),
    "plain": (HEAD + sound("plain").replace("@dataclass(frozen=True, kw_only=True)", ""),
              "Sound is not a frozen dataclass"),
    "thawed": (HEAD + sound("thawed").replace("frozen=True, ", ""),
               "Sound is not a frozen dataclass"),
    "orphan": (HEAD + sound("orphan").replace("(Method)", ""),
               "Sound does not inherit from harness.protocols.Method. Write class Sound(Method)."),
    "unversioned": (HEAD + sound("unversioned").replace("version: ClassVar[int] = 1", ""),
                    "it has no version"),
    "versions": (HEAD + sound("versions").replace("ClassVar[int]", "int"),
                 "version is a parameter instead of a class variable"),
    "idle": (HEAD + sound("idle").replace("def fit", "def fits"), "it does not define fit"),
    "undecided": (HEAD + sound("undecided", "strength: float"),
                  "its parameter strength has no default"),
    "mutable": (HEAD + sound("mutable", "names: list = []"),
                "ValueError: mutable default <class 'list'>"),
    "tool": (HEAD + sound("tool", "tool: object = object()"),
             "the default of its parameter tool cannot be stored as JSON"),
    "endless": (HEAD + sound("endless", "most: float = float('inf')"),
                "the default of its parameter most cannot be stored as JSON"),
    "brush": (HEAD + "class Brush: ...\n" + sound("brush", "brush: Brush | None = None"),
              "validated: Unable to generate pydantic-core schema for <class 'brush.Brush'>. Ann"),
    "later": ("from __future__ import annotations\n" + HEAD
              + "if TYPE_CHECKING:\n    from torch import Tensor\n"
              + sound("later", "tensor: Tensor | None = None"),
              "its parameters cannot be validated: NameError: name 'Tensor' is not defined. Ann"),
    "mistyped": (HEAD + sound("mistyped", "iterations: int = 1.5"),
                 "its defaults are invalid: iterations: Input should be a valid integer"),
    "moody": (HEAD + sound("moody") + "    def __post_init__(self):\n        {}['mood']",
              "it cannot be constructed from its defaults: KeyError: 'mood'"),
    "listed": (HEAD + sound("listed", "presets: ClassVar[list] = ['one']"),
               "its presets cannot be stored as JSON"),
    "twice": (HEAD + sound("twice") + sound("twice"), "twice.py registers the same name"),
    "sick": ("", "its parameter weight has no default"),  # in `sibling`
    "gatys": (HEAD + sound("gatys"),
              "gatys.py and cannot be replaced. Register it under another name."),
    "rival": (HEAD + sound("rival"), "other_rival.py registers the same name"),
    "absent": ("", "ModuleNotFoundError: No module named 'absent'"),
    "ghost": (HEAD + sound("ghost"), "AttributeError: module 'ghost' has no attribute 'Ghost'"),
    "common": (HEAD + sound("common"),
               "the package is installed twice, and Python imports common 2.0 in "),
    "crowd": (HEAD + sound("crowd"),
              "same 1.0 has a module crowd too, and Python imports only one"),
    "same": ("", "crowd 1.0 has a module crowd too, and Python imports only one"),
}  # fmt: skip
USABLE = {"gatys", "common"}
"""Names that work nevertheless: of nstbench, and of the package that Python imports first."""

SUITE = """\
version: 1
name: s
encoder: random
sizes: [64]
contents: {coffee: {builtin: coffee}}
styles: {grass: {builtin: grass}}
metrics: [ssim]
methods: {METHODS}
"""


@pytest.fixture(scope="module")
def env(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Return environment variables with which all packages above are installed."""
    first, second = tmp_path_factory.mktemp("first"), tmp_path_factory.mktemp("second")
    for name, code in GOOD.items():
        install(second, name, code)
    for name, (code, _) in BAD.items():
        if name not in {"sick", "carved", "same", "gatys", "absent", "ghost", "common"}:
            install(second, name, code)
    install(second, "gatys", BAD["gatys"][0], entry="usurper", distribution="usurper")
    install(second, "rival", BAD["rival"][0], entry="other_rival", distribution="other-rival")
    install(second, "workshop", HEAD + sound("carved") + "1 / 0")
    install(second, "absent", None)
    install(second, "ghost", BAD["ghost"][0], entry="ghost:Ghost")
    install(second, "same", None, entry="crowd", distribution="same")
    install(second, "common", BAD["common"][0])
    install(first, "common", BAD["common"][0], version="2.0")
    return fake_packages.path(first, second)


@pytest.fixture(scope="module")
def listed(env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return nstbench("list", "methods", "--json", env=env)


def test_the_list_is_valid_json_of_the_usable_methods(listed: Any) -> None:
    assert listed.returncode == 0, listed.stderr
    found = json.loads(listed.stdout)
    assert {*GOOD, "gatys", "common", "identity", "johnson"} <= set(found)
    assert not (set(BAD) - USABLE) & set(found)
    assert "style_layers" in found["gatys"]  # that of nstbench
    assert found["curious"]["iterations"] == 7
    for text in ("output of python", "output of the system", "output of a child"):
        assert text in listed.stderr
    assert "Traceback" not in listed.stderr


@pytest.mark.parametrize("name", BAD)
def test_the_list_warns_of_each_error_with_package_file_and_remedy(name: str, listed: Any) -> None:
    lines = [one for one in listed.stderr.splitlines() if one.startswith(f"! The method '{name}'")]
    assert any(BAD[name][1] in line for line in lines), lines
    package = {"gatys": "usurper", "sick": "sibling", "carved": "workshop"}.get(name, name)
    assert any(f"of {package} 1.0 (" in line for line in lines)
    assert all(line.endswith(".") for line in lines)


def test_the_warning_names_the_line_of_the_error(listed: Any) -> None:
    for name, line in (("unreadable", 1), ("half", 20), ("mutable", 11)):
        warning = next(t for t in listed.stderr.splitlines() if f"The method {name!r}" in t)
        assert f"{name}.py:{line})" in warning, warning


def test_doctor_warns_of_each_error_with_a_remedy(env: dict[str, str], tmp_path: Path) -> None:
    done = nstbench("doctor", "--json", "--offline", "--out", tmp_path, env=env)
    found = [one for one in json.loads(done.stdout) if one["section"] == "plug-ins"]
    assert {one["name"] for one in found} == {f"method {name}" for name in BAD}
    assert {one["state"] for one in found} == {"fair"}
    assert all(one["remedy"] for one in found)


def test_a_suite_reports_all_unusable_methods_at_once(env: dict[str, str], tmp_path: Path) -> None:
    suite = tmp_path / "s.yaml"
    names = [*(set(BAD) - USABLE), "nowhere"]
    suite.write_text(SUITE.replace("METHODS", ": , ".join([*names, ""]).removesuffix(", ")))
    done = nstbench("plan", suite, "--out", tmp_path, "--offline", env=env)
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    for name in set(BAD) - USABLE:
        assert f"methods.{name}: The method {name!r} of " in done.stderr
    assert "`nstbench check raising` shows the traceback." in done.stderr
    assert "'nowhere' is not a method: " in done.stderr
    assert "Some methods cannot be used: " in done.stderr
    assert "Run `nstbench doctor` for the reasons." in done.stderr


def test_a_suite_without_unusable_methods_runs(env: dict[str, str], tmp_path: Path) -> None:
    suite = tmp_path / "s.yaml"
    methods = "gatys: {params: {iterations: 2}}, mild: , noisy: , sibling: , identity: "
    suite.write_text(SUITE.replace("METHODS", methods))
    done = nstbench("run", suite, "--out", tmp_path, "--offline", "--no-mlflow", env=env)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "5 cells: 5 to run" in done.stdout


def test_check_shows_the_traceback_that_list_and_doctor_omit(env: dict[str, str]) -> None:
    done = nstbench("check", "half", "--json", env=env)
    assert done.returncode == 3
    (only,) = json.loads(done.stdout)
    assert "ZeroDivisionError" in only["what"]
    assert done.stderr.rstrip().endswith("ZeroDivisionError: division by zero")
    assert "Traceback" in done.stderr
    assert "nstbench check" not in only["remedy"]  # this command shows the traceback


def test_metrics_of_other_packages_are_checked_too(tmp_path: Path) -> None:
    code = (HEAD + sound("shine")).replace("METHODS", "METRICS").replace("Method", "Metric")
    install(tmp_path, "shine", code, group="nstbench.metrics")
    done = nstbench("list", "metrics", "--json", env=fake_packages.path(tmp_path))
    assert "ssim" in json.loads(done.stdout)
    for name in ("unit", "better", "lens"):
        start = f"! The metric 'shine' of shine 1.0 ({tmp_path}/shine.py) cannot be used: "
        assert f"{start}it does not define {name}." in done.stderr


def test_a_broken_file_of_nstbench_does_not_affect_other_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shelf = tmp_path / "shelf"
    shelf.mkdir()
    (shelf / "__init__.py").write_text(
        "from harness.registry.registry import Registry\nSHELF = Registry('method', 'shelf')\n"
    )
    imports = "from nstbench import Method; from shelf import SHELF as METHODS"
    head = HEAD.replace("from nstbench import METHODS, Method", imports)
    (shelf / "fine.py").write_text(head + sound("fine"))
    (shelf / "unfinished.py").write_text(head + sound("unfinished") + "\n    def later(self:\n")
    (shelf / "_helper.py").write_text("1 / 0")
    monkeypatch.syspath_prepend(tmp_path)
    registry = importlib.import_module("shelf").SHELF
    assert "fine" in registry.names()
    (fault,) = registry.faults
    assert (fault.name, fault.package) == ("unfinished", "")
    assert fault.file == f"{shelf}/unfinished.py:21"
    with pytest.raises(UnknownNameError, match=r"SyntaxError.*Fix the file"):
        registry.get("unfinished")
