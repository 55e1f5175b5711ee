"""Stand-ins for images: reported everywhere, and stored apart from the real image."""

from __future__ import annotations

from pathlib import Path

from tests.helpers.command_line import nstbench

STAND_IN = """\
version: 1
name: standin
encoder: random
contents: {{coffee: {{builtin: coffee}}}}
styles:
  wave: {{url: "https://example.org/wave.png", sha256: {sha256}, stand_in: great-wave}}
methods: {{style_copy: }}
sizes: [64]
metrics: [ssim]
"""


def test_stand_ins_are_reported_and_share_no_record_with_the_real_image(
    tmp_path: Path,
) -> None:
    import hashlib

    from mlflow import MlflowClient
    from PIL import Image as Pillow

    from harness.store import Store

    (tmp_path / "mirror").mkdir()
    Pillow.linear_gradient("L").convert("RGB").save(tmp_path / "mirror" / "wave.png")
    sha256 = hashlib.sha256((tmp_path / "mirror" / "wave.png").read_bytes()).hexdigest()
    suite = tmp_path / "standin.yaml"
    suite.write_text(STAND_IN.format(sha256=sha256))
    out, page = tmp_path / "out", tmp_path / "out" / "standin" / "report.html"
    arguments = ("run", suite, "--out", out, "--offline")

    first = nstbench(*arguments)
    assert first.returncode == 0, first.stdout + first.stderr
    assert "Stand-ins for wave" in first.stdout
    store = Store(out, "standin")
    (with_stand_in,) = store.records(store.run())
    assert with_stand_in.cell.style.stand_in == "great-wave"
    assert "--offline was given" in with_stand_in.cell.style.why_stand_in
    assert "stand-in" in page.read_text()

    second = nstbench(*arguments, "--mirror", tmp_path / "mirror")
    assert "1 to run, 0 reused" in second.stdout
    assert "Stand-ins" not in second.stdout
    (real,) = store.records(store.run())
    assert real.cell.style.stand_in is None
    assert real.cell.id != with_stand_in.cell.id
    stored = store.read(with_stand_in.cell.id)  # both records are stored
    assert stored is not None
    assert (stored.cell.style, stored.scores) == (with_stand_in.cell.style, with_stand_in.scores)

    client = MlflowClient(tracking_uri=f"sqlite:///{out / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("standin")
    assert experiment is not None
    tags = {run.data.tags["nst.cell"]: run.data.tags
            for run in client.search_runs([experiment.experiment_id])}  # fmt: skip
    assert tags[with_stand_in.cell.id]["nst.stand_in"] == "great-wave"
    assert "nst.stand_in" not in tags[real.cell.id]

    again = nstbench("plan", *arguments[1:])
    assert "0 to run, 1 reused" in again.stdout
