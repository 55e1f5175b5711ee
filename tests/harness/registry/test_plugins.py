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
from tests.helpers.small_suite import small_suite

HEAD = '''\
"""Source: none; made up for tests."""

import os, sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

from nstbench import METHODS, Method

'''

METHOD = '''
@METHODS.register("{name}")
@dataclass(frozen=True, kw_only=True)
class {title}(Method):
    """Return the content."""

    version: ClassVar[int] = 1
    {field}

    def fit(self, style, context):
        return lambda content, context: content.clone()
'''


def method(name: str, field: str = "strength: float = 0.5", title: str = "Copy") -> str:
    return METHOD.format(name=name, field=field, title=title)


GOOD: dict[str, str] = {
    "simple": HEAD + method("simple"),
    "printing": HEAD + method("printing") + """
print("output of python")
os.write(1, b"output of the system\\n")
os.system("echo output of a child")
""",
    "subclass": HEAD + """
Gatys = METHODS.get("gatys")

@METHODS.register("subclass")
@dataclass(frozen=True, kw_only=True)
class Subclass(Gatys):
    "Extend a method of nstbench when it is imported."
    iterations: int = 7
""",
    "sibling": HEAD + method("sibling") + method("no_default", "weight: float", "NoDefault"),
}  # fmt: skip

BAD: dict[str, tuple[str, str]] = {
    # name -> the code that registers it, a part of the message
    "missing_import": ("import no_such_module", "ModuleNotFoundError: No module named 'no_such_m"),
    "raising": ("raise ValueError('a brush\\nis missing')", "ValueError: a brush."),
    "exiting": ("import sys; sys.exit(7)", "SystemExit: 7"),
    "unreadable": ("def paint(:\n    pass", "SyntaxError: "),
    "base_error": ("class Odd(BaseException): ...\nraise Odd('far')", "base_error.Odd: far"),
    "half": (HEAD + method("half") + "1 / 0", "ZeroDivisionError: division by zero"),
    "renamed": ("", "ZeroDivisionError: division by zero"),  # in `failing_module`
    "another": ("import simple\n1 / 0", "ZeroDivisionError: division by zero"),
    "no_class": (HEAD, "no_class was imported and registers no method"),
    "nameless": (HEAD + method("x").replace('register("x")', "register"),
                 "@METHODS.register requires a name"),
    "plain": (HEAD + method("plain").replace("@dataclass(frozen=True, kw_only=True)", ""),
              "Copy is not a frozen dataclass"),
    "not_frozen": (HEAD + method("not_frozen").replace("frozen=True, ", ""),
                   "Copy is not a frozen dataclass"),
    "no_base": (HEAD + method("no_base").replace("(Method)", ""),
                "Copy does not inherit from harness.protocols.Method. Write class Copy(Method)."),
    "unversioned": (HEAD + method("unversioned").replace("version: ClassVar[int] = 1", ""),
                    "it has no version"),
    "versions": (HEAD + method("versions").replace("ClassVar[int]", "int"),
                 "version is a parameter instead of a class variable"),
    "no_fit": (HEAD + method("no_fit").replace("def fit", "def fits"), "it does not define fit"),
    "undefined": (HEAD + method("undefined", "strength: float"),
                  "its parameter strength has no default"),
    "mutable": (HEAD + method("mutable", "names: list = []"),
                "ValueError: mutable default <class 'list'>"),
    "tool": (HEAD + method("tool", "tool: object = object()"),
             "the default of its parameter tool cannot be stored as JSON"),
    "endless": (HEAD + method("endless", "most: float = float('inf')"),
                "the default of its parameter most cannot be stored as JSON"),
    "brush": (HEAD + "class Brush: ...\n" + method("brush", "brush: Brush | None = None"),
              "validated: Unable to generate pydantic-core schema for <class 'brush.Brush'>. Ann"),
    "later": ("from __future__ import annotations\n" + HEAD
              + "if TYPE_CHECKING:\n    from torch import Tensor\n"
              + method("later", "tensor: Tensor | None = None"),
              "its parameters cannot be validated: NameError: name 'Tensor' is not defined. Ann"),
    "mistyped": (HEAD + method("mistyped", "iterations: int = 1.5"),
                 "its defaults are invalid: iterations: Input should be a valid integer"),
    "failing_init": (HEAD + method("failing_init")
                     + "    def __post_init__(self):\n        {}['mood']",
                     "it cannot be constructed from its defaults: KeyError: 'mood'"),
    "listed": (HEAD + method("listed", "presets: ClassVar[list] = ['one']"),
               "its presets cannot be stored as JSON"),
    "twice": (HEAD + method("twice") + method("twice"), "twice.py registers the same name"),
    "no_default": ("", "its parameter weight has no default"),  # in `sibling`
    "gatys": (HEAD + method("gatys"),
              "gatys.py and cannot be replaced. Register it under another name."),
    "rival": (HEAD + method("rival"), "other_rival.py registers the same name"),
    "no_module": ("", "ModuleNotFoundError: No module named 'no_module'"),
    "bad_entry": (HEAD + method("bad_entry"),
                  "AttributeError: module 'bad_entry' has no attribute 'Missing'"),
    "common": (HEAD + method("common"),
               "the package is installed twice, and Python imports common 2.0 in "),
    "crowd": (HEAD + method("crowd"),
              "same 1.0 has a module crowd too, and Python imports only one"),
    "same": ("", "crowd 1.0 has a module crowd too, and Python imports only one"),
}  # fmt: skip

INSTALLED_APART = {"no_default", "renamed", "same", "gatys", "no_module", "bad_entry", "common"}
"""Names whose package has another name, no code, or an unusual entry point."""

USABLE = {"gatys", "common"}
"""Names that work nevertheless: of nstbench, and of the package that Python imports first."""

SUITE = small_suite("s", "{METHODS}", "metrics: [ssim]")


@pytest.fixture(scope="module")
def env(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Return environment variables with which all packages above are installed."""
    first, second = tmp_path_factory.mktemp("first"), tmp_path_factory.mktemp("second")
    for name, code in GOOD.items():
        install(second, name, code)
    for name, (code, _) in BAD.items():
        if name not in INSTALLED_APART:
            install(second, name, code)
    install(second, "gatys", BAD["gatys"][0], entry="usurper", distribution="usurper")
    install(second, "rival", BAD["rival"][0], entry="other_rival", distribution="other-rival")
    install(second, "failing_module", HEAD + method("renamed") + "1 / 0")
    install(second, "no_module", None)
    install(second, "bad_entry", BAD["bad_entry"][0], entry="bad_entry:Missing")
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
    assert found["subclass"]["iterations"] == 7
    for text in ("output of python", "output of the system", "output of a child"):
        assert text in listed.stderr
    assert "Traceback" not in listed.stderr


@pytest.mark.parametrize("name", BAD)
def test_the_list_warns_of_each_error_with_package_file_and_remedy(name: str, listed: Any) -> None:
    lines = [one for one in listed.stderr.splitlines() if one.startswith(f"! The method '{name}'")]
    assert any(BAD[name][1] in line for line in lines), lines
    package = {"gatys": "usurper", "no_default": "sibling", "renamed": "failing_module"}.get(
        name, name
    )
    assert any(f"of {package} 1.0 (" in line for line in lines)
    assert all(line.endswith(".") for line in lines)


def test_the_warning_names_the_line_of_the_error(listed: Any) -> None:
    for name, line in (("unreadable", 1), ("half", 20), ("mutable", 11)):
        warning = next(t for t in listed.stderr.splitlines() if f"The method {name!r}" in t)
        assert f"{name}.py:{line})" in warning, warning


def test_doctor_warns_of_each_error_with_a_remedy(env: dict[str, str], tmp_path: Path) -> None:
    done = nstbench("doctor", "--json", "--offline", "--out", tmp_path, env=env)
    findings = [one for one in json.loads(done.stdout) if one["section"] == "plug-ins"]
    assert {finding["name"] for finding in findings} == {f"method {name}" for name in BAD}
    assert {finding["state"] for finding in findings} == {"fair"}
    assert all(finding["remedy"] for finding in findings)


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
    methods = "gatys: {params: {iterations: 2}}, simple: , printing: , sibling: , identity: "
    suite.write_text(SUITE.replace("METHODS", methods))
    done = nstbench("run", suite, "--out", tmp_path, "--offline", "--no-mlflow", env=env)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "5 cells: 5 to run" in done.stdout


def test_check_shows_the_traceback_that_list_and_doctor_omit(env: dict[str, str]) -> None:
    done = nstbench("check", "half", "--json", env=env)
    assert done.returncode == 3
    (finding,) = json.loads(done.stdout)
    assert "ZeroDivisionError" in finding["what"]
    assert done.stderr.rstrip().endswith("ZeroDivisionError: division by zero")
    assert "Traceback" in done.stderr
    assert "nstbench check" not in finding["remedy"]  # this command shows the traceback


def test_metrics_of_other_packages_are_checked_too(tmp_path: Path) -> None:
    code = (HEAD + method("shine")).replace("METHODS", "METRICS").replace("Method", "Metric")
    install(tmp_path, "shine", code, group="nstbench.metrics")
    done = nstbench("list", "metrics", "--json", env=fake_packages.path(tmp_path))
    assert "ssim" in json.loads(done.stdout)
    for name in ("unit", "better", "lens"):
        start = f"! The metric 'shine' of shine 1.0 ({tmp_path}/shine.py) cannot be used: "
        assert f"{start}it does not define {name}." in done.stderr


def test_a_broken_file_of_nstbench_does_not_affect_other_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "own_methods"
    folder.mkdir()
    (folder / "__init__.py").write_text(
        "from harness.registry.registry import Registry\n"
        "OWN_METHODS = Registry('method', 'own_methods')\n"
    )
    imports = "from nstbench import Method; from own_methods import OWN_METHODS as METHODS"
    head = HEAD.replace("from nstbench import METHODS, Method", imports)
    (folder / "fine.py").write_text(head + method("fine"))
    (folder / "unfinished.py").write_text(head + method("unfinished") + "\n    def later(self:\n")
    (folder / "_helper.py").write_text("1 / 0")
    monkeypatch.syspath_prepend(tmp_path)
    registry = importlib.import_module("own_methods").OWN_METHODS
    assert "fine" in registry.names()
    (fault,) = registry.faults
    assert (fault.name, fault.package) == ("unfinished", "")
    assert fault.file == f"{folder}/unfinished.py:21"
    with pytest.raises(UnknownNameError, match=r"SyntaxError.*Fix the file"):
        registry.get("unfinished")
