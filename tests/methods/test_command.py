"""Programs of other projects: what they write is scored, what they break fails their cell only."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from harness.errors import SourceError
from harness.execution.jobs import Outcome
from harness.execution.runner import Runner
from harness.plan import Resources
from harness.registry import METHODS
from harness.resources.images import to_pixels, to_tensor
from methods.command import Command
from tests.helpers.command_line import ROOT
from tests.helpers.faults.faulty_cells import ENCODER, job, pixels_of
from tests.helpers.processes import alive, no_longer_alive, wait_for_file

SCRIPT = ROOT / "tests" / "helpers" / "bad_program.py"
FILES = ["{content}", "{style}", "{output}"]


class Programs:
    """Runs cells of `command` in this process; all programs have a mark in their environment."""

    def __init__(self, runner: Runner, folder: Path) -> None:
        self.runner, self.mark = runner, uuid.uuid4().hex
        self.started = folder / "started"
        self.limit = 0.0  # seconds for a cell, as --timeout sets them
        runner.progress = self.set_alarm

    def set_alarm(self, phase: str, index: int, of: int) -> None:
        """Limit the time of a cell from its fit on, as the worker process does."""
        if phase == "fit":
            signal.setitimer(signal.ITIMER_REAL, self.limit)

    def run(self, how: str, *, content: str = "c", **params: Any) -> Outcome:
        """Stylize with the program that behaves like `how`."""
        arguments = [] if params.get("serve") else FILES
        given = {
            "run": ["python", str(SCRIPT), how, *arguments],
            "environment": {"MARK": self.mark, "STARTED": str(self.started)},
            **params,
        }
        return self.runner.execute(job("", content, method="command", **given))

    def reason(self, how: str, status: str, **params: Any) -> str:
        """Return why a cell fails; check its status, and that no process is left."""
        record = self.run(how, **params).record
        assert record.status == status, record.failure
        assert record.failure is not None
        assert record.failure.traceback == ""
        self.runner.close()
        assert alive(self.mark) == []
        return record.failure.message


@pytest.fixture(scope="module")
def runner() -> Runner:
    """A runner without metrics: it calibrates once."""
    files = {ENCODER.sha256: None}
    return Runner(
        Resources(
            encoder=ENCODER, encoder_files=files, device="cpu", precision="float32", repeats=1
        )
    )


@pytest.fixture
def programs(runner: Runner, tmp_path: Path) -> Iterator[Programs]:
    found = Programs(runner, tmp_path)
    yield found
    signal.setitimer(signal.ITIMER_REAL, 0)
    found.runner.close()
    assert alive(found.mark) == []


def mixed() -> Any:
    """The image of a program that works, for the images of `job`."""
    from PIL import Image

    images = (Image.fromarray(pixels) for pixels in (job("").content, job("").style))
    return np.asarray(Image.blend(*images, 0.5))


@pytest.mark.parametrize("serve", [False, True])
def test_the_image_that_a_program_writes_is_the_result(programs: Programs, serve: bool) -> None:
    outcome = programs.run("well", serve=serve)
    assert outcome.record.status == "done", outcome.record.failure
    assert (pixels_of(outcome) == mixed()).all()
    timing = outcome.record.timing
    assert timing is not None
    assert (timing.peak_of, timing.noisy) == ("program", "")
    assert timing.peak_mb is not None
    assert 5 < timing.peak_mb < 200  # of the program, not of this process
    said = "loading" if serve else "about to be well"
    assert f"its program printed: {said}" in outcome.record.notes


def test_the_start_of_a_program_is_part_of_its_time_or_of_its_fit(programs: Programs) -> None:
    once, served = (programs.run("well", serve=serve).record.timing for serve in (False, True))
    assert once is not None
    assert served is not None
    assert once.fit_seconds == 0.0
    assert once.stylize_seconds > served.stylize_seconds
    assert served.fit_seconds > 0.01
    assert Command().timed == "stylization and start-up"
    assert Command(serve=True).timed == "stylization"


@pytest.mark.parametrize(
    ("how", "status", "reason"),
    [
        ("exit", "failed", "ended with exit code 1.\nIts last lines:\nabout to be exit\nno such"),
        ("no memory", "out_of_memory", "MemoryError"),
        ("segfault", "crashed", "was ended by signal SIGSEGV"),
        ("nothing", "failed", "did not write output.png. It wrote nothing."),
        ("outside", "failed", "did not write output.png. It wrote nothing."),
        ("link", "failed", "did not write output.png"),
        ("other name", "failed", "Its output folder has ['mine.png'] instead"),
        ("text", "failed", "output.png, which is not an image. It starts with 'I am a picture'"),
        ("truncated", "failed", "cannot be read as an image"),
        ("wrong size", "failed", "an image of 20 x 10 pixels instead of 32 x 24"),
    ],
)  # fmt: skip
def test_a_bad_program_fails_its_cell_with_the_reason(
    programs: Programs, how: str, status: str, reason: str
) -> None:
    message = programs.reason(how, status)
    assert reason in message
    assert "Its last lines:\n" in message


def test_a_program_that_hangs_ends_with_all_of_its_processes(programs: Programs) -> None:
    programs.limit = 0.5
    message = programs.reason("hang", "timeout")
    assert "did not end within the 0." in message
    assert "about to be hang" in message


def test_a_program_that_takes_too_much_memory_is_ended(programs: Programs) -> None:
    message = programs.reason("allocate", "out_of_memory", memory_gb=0.1)
    assert "used more than 0.1 GB of memory" in message


def test_processes_that_a_program_leaves_are_ended(programs: Programs) -> None:
    assert programs.run("orphans").record.status == "done"
    assert programs.started.exists()
    assert alive(programs.mark) == []


def test_a_million_lines_are_not_kept(programs: Programs) -> None:
    before = psutil.Process().memory_info().rss
    (note,) = programs.run("million lines").record.notes
    assert note == "its program printed: line 999997 / line 999998 / line 999999"
    assert psutil.Process().memory_info().rss - before < 30e6


def test_an_image_of_another_size_is_resized_if_the_suite_says_so(programs: Programs) -> None:
    outcome = programs.run("wrong size", resize="lanczos")
    assert pixels_of(outcome).shape == (24, 32, 3)
    note = "resized (lanczos): its program wrote 20 x 10 pixels instead of 32 x 24"
    assert note in outcome.record.notes


@pytest.mark.parametrize(
    ("how", "status", "reason"),
    [
        ("exit at start", "failed", "exit code 1 before it was ready.\nIts last lines:\nloading"),
        ("text at start", "failed", "not a JSON object to its standard output: 'Loading the"),
        ("says no", "failed", "reported: the style is too plain"),
        ("text", "failed", "not a JSON object to its standard output: 'done!'"),
        ("flood", "failed", "wrote a line of more than 1,048,576 bytes"),
        ("killed", "crashed", "was ended by signal SIGKILL before it answered"),
        ("ends after the first", "failed", "ended with exit code 3 before it answered"),
        ("outside", "failed", "which is not in the folder of the requested output"),
        ("bad numbers", "failed", "answered seconds: 'fast', which is not a positive number"),
    ],
)  # fmt: skip
def test_a_bad_server_fails_its_cell_with_the_reason(
    programs: Programs, how: str, status: str, reason: str
) -> None:
    assert reason in programs.reason(how, status, serve=True)


def test_a_server_that_hangs_ends_with_all_of_its_processes(programs: Programs) -> None:
    programs.limit = 0.5
    assert "loading" in programs.reason("hang", "timeout", serve=True)


def test_a_server_that_was_killed_starts_again_for_the_next_picture(programs: Programs) -> None:
    records = [programs.run("killed once", content=name, serve=True).record for name in "cd"]
    assert [record.status for record in records] == ["crashed", "done"]


def test_what_a_server_measures_replaces_the_clock(programs: Programs) -> None:
    outcome = programs.run("measures", serve=True)
    timing = outcome.record.timing
    assert timing is not None
    assert (timing.stylize_seconds, timing.peak_mb) == (7.5, 4000)
    assert "its program measured the seconds of the stylization" in outcome.record.notes
    assert outcome.record.objective == 3.0


def test_one_server_is_started_for_all_styles_and_one_for_each_fit(programs: Programs) -> None:
    first = programs.run("well", serve=True)
    one = job("", "c", method="command", **first.record.cell.params)
    other_style = replace(one.cell.style, name="t", sha256="sha-t")
    second = programs.runner.execute(replace(one, cell=replace(one.cell, style=other_style)))
    assert second.record.timing is not None
    assert first.record.timing is not None
    assert second.record.timing.fit_seconds == first.record.timing.fit_seconds
    assert any("earlier style" in note for note in second.record.notes)
    assert len(alive(programs.mark)) == 1


def test_a_fit_program_runs_once_and_its_model_is_passed_on(
    programs: Programs, tmp_path: Path
) -> None:
    (tmp_path / "learn.py").write_text(
        "import sys, shutil; open('calls', 'a').write('x'); shutil.copy(sys.argv[1], sys.argv[2])"
    )
    params = {
        "fit_run": ["python", "learn.py", "{style}", "{model}"],
        "run": ["python", str(SCRIPT), "well", "{content}", "{model}", "{output}"],
        "directory": str(tmp_path),
    }
    outcomes = [programs.run("well", content=name, **params) for name in "cd"]
    assert [outcome.record.status for outcome in outcomes] == ["done"] * 2
    assert (pixels_of(outcomes[0]) == mixed()).all()
    assert (tmp_path / "calls").read_text() == "x"
    assert "wrote nothing to {model}" in programs.reason(
        "well", "failed", **{**params, "fit_run": ["python", "-c", "pass", "{model}"]}
    )


def test_the_adapter_of_the_documentation_serves_any_function(programs: Programs) -> None:
    adapter = ROOT / "docs" / "examples" / "serve_adapter.py"
    outcome = programs.run("", run=["python", str(adapter)], serve=True)
    assert outcome.record.status == "done", outcome.record.failure
    assert (pixels_of(outcome) == mixed()).all()
    assert len(adapter.read_text().splitlines()) <= 50


def test_no_shell_reads_the_words_of_a_program(programs: Programs, tmp_path: Path) -> None:
    words = ["python", str(SCRIPT), "well; touch hacked $(touch hacked) `touch hacked`", *FILES]
    assert programs.run("", run=words, directory=str(tmp_path)).record.status == "done"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"run": ["x", "{picture}", "{output}"]}, "{picture}; its placeholders are {content}"),
        ({"run": ["x", "{content}"]}, "run has neither {output} nor {output_folder}"),
        ({"run": ["x", "{model}", "{output}"]}, "run has {model}; its placeholders"),
        ({"run": ["x", "{content}"], "serve": True}, "run with serve has {content}, which"),
        ({"fit_run": ["x", "{content}", "{model}"]}, "fit_run has {content}"),
        ({"fit_run": ["x", "{style}"]}, "fit_run has no {model}"),
        ({"output": "../x.png"}, "'../x.png', which is not the name of a file"),
    ],
)  # fmt: skip
def test_mistakes_in_the_words_are_found_before_anything_runs(
    params: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        METHODS.build("command", params)


def test_a_suite_has_to_name_a_program() -> None:
    with pytest.raises(SourceError, match="run is empty"):
        Command().resolve(())


def test_scripts_and_other_files_that_are_named_decide_the_result(tmp_path: Path) -> None:
    for name in ("stylize.py", "net.pth", "other.pth"):
        (tmp_path / name).touch()
    run = ("python", "stylize.py", "--net=net.pth", "{content}", "{output}", "missing.pth")
    method = Command(run=run, directory=str(tmp_path), needs=("other.pth", "module:os"))
    assert {Path(path).name for path in method.files.values()} == {
        "stylize.py", "net.pth", "other.pth"
    }  # fmt: skip


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    run = ("no-such-program", "{content}", "{output}")
    needs = ("weights/net.pth", "module:no_such_module", "sh", "module:os")
    method = Command(run=run, directory=str(tmp_path), needs=needs)
    assert method.unavailable == (
        f"missing: the program no-such-program, the file {tmp_path / 'weights/net.pth'}, "
        "the Python module no_such_module"
    )
    assert "there is no folder" in Command(run=run, directory="/no/such/folder").unavailable
    python = tmp_path / "env" / "bin" / "python3"
    (tmp_path / "env" / "lib" / "python3.11" / "site-packages" / "torch").mkdir(parents=True)
    python.parent.mkdir()
    python.touch(mode=0o755)
    other = Command(
        run=("env/bin/python3", "x.py", "{output}"), directory=str(tmp_path),
        needs=("module:torch", "module:einops"),
    )  # fmt: skip
    assert other.unavailable == f"missing: the Python module einops of {python}"


def test_images_are_exchanged_without_loss(programs: Programs) -> None:
    copy = "import sys, shutil; shutil.copy(*sys.argv[1:])"
    outcome = programs.run("", run=["python", "-c", copy, "{content}", "{output}"])
    assert (pixels_of(outcome) == to_pixels(to_tensor(job("").content))).all()


def test_all_processes_end_when_nstbench_is_killed(tmp_path: Path) -> None:
    mark, started = uuid.uuid4().hex, tmp_path / "started"
    environment = {"MARK": mark, "STARTED": str(started)}
    code = (
        "from harness.programs import Command, run; "
        f"run(Command({(sys.executable, str(SCRIPT), 'hang', 'a', 'b', 'c')!r}, '.', "
        f"{json.dumps(environment)}))"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, env=dict(os.environ))
    wait_for_file(started, parent)
    assert len(alive(mark)) >= 2
    parent.kill()
    parent.wait()
    assert no_longer_alive(mark)
