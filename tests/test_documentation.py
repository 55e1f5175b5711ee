"""Check that the documentation is complete, that its links resolve, and that its examples work."""

from __future__ import annotations

import csv
import importlib
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from harness import suite as suites
from harness.cli.main import main
from harness.errors import SuiteError
from harness.resources.images import read, skimage_photograph
from tests.helpers import fake_packages
from tests.helpers.command_line import ROOT, nstbench
from tests.test_architecture import MODULES, imports, package_of

PAGES = [ROOT / f"{name}.md" for name in ("README", "CONTRIBUTING", "CHANGELOG")]
PAGES += sorted((ROOT / "docs").glob("*.md"))
README, CLI, ARCHITECTURE, GLOSSARY, SUITES = (
    (ROOT / path).read_text(encoding="utf-8")
    for path in ("README.md", "docs/cli.md", "docs/architecture.md", "docs/glossary.md",
                 "docs/suites.md")
)  # fmt: skip
TOPICS = [
    "page",
    "cli",
    "python",
    "suites",
    "claims",
    "methods",
    "metrics",
    "stylize",
    "encoders",
    "bring-your-own",
    "export",
    "offline",
    "reproducibility",
    "reliability",
    "cluster",
    "team-server",
    "results",
    "speed",
    "architecture",
    "glossary",
]

SMALL = ["--set", "sizes=[32]", "--set", "gatys.iterations=2", "--set", "johnson.steps=1"]
"""Options for the smoke suite."""


@dataclass(frozen=True)
class Example:
    """A fenced block of a page."""

    page: Path
    line: int
    language: str
    code: str

    def __str__(self) -> str:
        return f"{self.page.name}:{self.line}"


def examples(language: str) -> list[Example]:
    """Return all fenced blocks in one language."""
    found = []
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for match in re.finditer(r"^```(\w+)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE):
            line = text.count("\n", 0, match.start()) + 1
            found.append(Example(page, line, match[1], match[2]))
    return [example for example in found if example.language == language]


def each(language: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("example", examples(language), ids=str)


def command_lines(code: str) -> Iterator[list[str]]:
    """Yield the arguments of each shell command, without comments and the `$` of a prompt."""
    for line in code.replace("\\\n", " ").splitlines():
        for command in line.removeprefix("$ ").split(" && "):
            if arguments := shlex.split(command, comments=True):
                yield arguments


@cache
def anchors(page: Path) -> set[str]:
    """Return the anchors that GitHub gives to the headings of a page."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.M)
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_relative_link_resolves(page: Path) -> None:
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.M)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if target.startswith(("http://", "https://")):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), target
        assert not anchor or anchor in anchors(file), target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_file_and_folder_that_is_named_exists(page: Path) -> None:
    roots = "harness|methods|reports|tests|suites"
    named = rf"`(?:pytest [-\w ]*?)?((?:{roots})/[\w/.-]*)"
    for path in re.findall(named, page.read_text(encoding="utf-8")):
        assert (ROOT / path).exists(), path


def test_every_topic_has_a_page() -> None:
    assert {page.stem for page in (ROOT / "docs").glob("*.md")} == set(TOPICS)


def test_every_page_of_a_topic_is_linked() -> None:
    text = "".join(page.read_text(encoding="utf-8") for page in PAGES)
    assert [topic for topic in TOPICS if not re.search(rf"\]\((docs/)?{topic}\.md", text)] == []


def test_every_command_and_option_is_documented() -> None:
    for name, command in main.commands.items():
        assert f"`nstbench {name}" in CLI, name
        for parameter in command.params:
            if isinstance(parameter, click.Option):
                for option in parameter.opts:
                    assert re.search(rf"`{option}[ `]", CLI), f"{name} {option}"


def test_every_documented_option_exists() -> None:
    real = {
        option for command in main.commands.values() for p in command.params for option in p.opts
    }
    real |= {"--version", "--help"}
    assert {option for option in re.findall(r"--[a-z][a-z-]+", CLI) if option not in real} == set()


def test_every_suite_is_documented() -> None:
    for path in (ROOT / "suites").glob("*.yaml"):
        assert f"| `{path.stem}` |" in SUITES, path.stem


def test_the_readme_and_the_glossary_are_short() -> None:
    assert len(README.splitlines()) <= 150
    assert len(re.findall(r"^\| \*\*", GLOSSARY, re.MULTILINE)) <= 30


def test_ci_runs_the_test_commands_of_the_readme() -> None:
    commands = (ROOT / ".ci" / "run").read_text(encoding="utf-8").strip().splitlines()[-2:]
    assert "\n".join(commands) in README


def test_the_method_of_the_readme_passes_every_check(tmp_path: Path) -> None:
    code = re.search(r"```python\n(# methods/.*?)```", README, re.DOTALL)
    assert code is not None
    assert len(code[1].splitlines()) < 60
    name = re.search(r'register\("(\w+)"\)', code[1])
    assert name is not None
    fake_packages.install(tmp_path, name[1], code[1])
    done = nstbench("check", name[1], env=fake_packages.path(tmp_path))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "the same seed gives the same image: ok" in done.stdout


def test_the_example_of_a_metric_scores_images(results: Path, tmp_path: Path) -> None:
    (code,) = (e.code for e in examples("python") if "@METRICS.register" in e.code)
    fake_packages.install(tmp_path, "brightness_shift", code, group="nstbench.metrics")
    arguments = ["rescore", "smoke", "--out", results / "runs", "--offline", "--no-mlflow", *SMALL]
    done = nstbench(
        *arguments, "--set", "metrics=[brightness_shift]", env=fake_packages.path(tmp_path)
    )
    assert done.returncode == 0, done.stdout + done.stderr
    with (results / "runs" / "smoke" / "results.csv").open(encoding="utf-8", newline="") as file:
        scores = {row["label"]: float(row["brightness_shift"]) for row in csv.DictReader(file)}
    assert scores["identity"] == 0
    assert scores["style_copy"] < -0.3  # the bright cup becomes a dark sky


@each("yaml")
def test_yaml_examples_are_valid_suites(example: Example, tmp_path: Path) -> None:
    path = tmp_path / "suite.yaml"
    path.write_text(example.code, encoding="utf-8")
    profiles = re.search(r"^profiles:\n  (\w+):", example.code, re.MULTILINE)
    assert suites.load(path, "", ()).methods
    if profiles:
        assert suites.load(path, profiles[1], ()).profile == profiles[1]


def test_the_example_of_a_mistake_shows_the_real_message(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    correct = next(e.code for e in examples("yaml") if e.page.stem == "suites")
    path.write_text(correct.replace("[lbfgs, adam]", "[lbgfs, adam]"), encoding="utf-8")
    with pytest.raises(SuiteError) as raised:
        suites.load(path, "", ())
    shown = next(e.code for e in examples("text") if e.page.stem == "suites")
    what = r"methods\.gatys\.axes.*"
    assert re.findall(what, str(raised.value)) == re.findall(what, shown)
    assert str(raised.value).count("^") == shown.count("^")


@pytest.mark.parametrize("example", [*examples("sh"), *examples("console")], ids=str)
def test_command_lines_name_real_commands_options_and_files(example: Example) -> None:
    for program, *arguments in command_lines(example.code):
        if Path(program).name == "nstbench":
            name, *rest = arguments
            main.commands[name].make_context(name, rest, parent=click.Context(main))
        elif [program, *arguments[:1]] == ["python", "-m"]:
            module = ROOT / f"{arguments[1].replace('.', '/')}.py"
            assert module.exists(), module
            source = "".join(p.read_text(encoding="utf-8") for p in module.parent.glob("*.py"))
            for option in (word for word in arguments if word.startswith("--")):
                assert f'"{option}"' in source, option
        elif program == "pytest":
            for path in (word for word in arguments if word.startswith("tests/")):
                assert (ROOT / path).exists(), path


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which a small variation of the smoke suite has run."""
    folder = tmp_path_factory.mktemp("documentation")
    done = nstbench("run", "smoke", "--offline", "--no-mlflow", "--out", folder / "runs", *SMALL)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@each("console")
def test_sessions_print_what_they_show(
    example: Example, results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(results)
    output = ""
    for line in example.code.splitlines():
        if line.startswith("$ nstbench "):
            done = CliRunner().invoke(main, shlex.split(line)[2:])
            assert done.exit_code in {0, 3}, done.output
            output = done.output
        else:
            assert line in output


@each("python")
def test_python_examples_run(
    example: Example, results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if ".register(" in example.code:
        return  # the tests of the method and of the metric run these in a separate process
    monkeypatch.chdir(results)
    for file, photograph in (("coffee.jpg", "coffee"), ("wave.jpg", "rocket")):
        read(skimage_photograph(photograph)).save(file)
    exec(compile(example.code, str(example), "exec", dont_inherit=True), {"__name__": "builtins"})


@each("toml")
def test_entry_points_name_real_groups(example: Example) -> None:
    plugins = importlib.import_module("harness.registry.registry")
    source = Path(str(plugins.__file__)).read_text(encoding="utf-8")
    for group in re.findall(r'entry-points\."nstbench\.(\w+)"', example.code):
        assert group in source


def test_the_diagram_shows_the_imports_between_packages() -> None:
    """Compare with the transitive reduction: an arrow that a longer path implies is not drawn."""
    graph: dict[str, set[str]] = {}
    for module in MODULES:
        users = graph.setdefault(package_of(module), set())
        users |= {package_of(name) for name in imports(module)}
    for package, used in graph.items():
        used -= {package, "harness"}

    def reachable(package: str) -> set[str]:
        return graph[package].union(*(reachable(used) for used in graph[package]))

    arrows = {
        f"{package.removeprefix('harness.')} --> {used.removeprefix('harness.')}"
        for package in graph
        for used in graph[package]
        if not any(used in reachable(other) for other in graph[package] - {used})
    }
    assert set(re.findall(r"^    (\w+ --> \w+)$", ARCHITECTURE, re.MULTILINE)) == arrows
