"""The wheel is the product: what guides tell users to run works from it, outside a clone."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ssl_keras.__main__ import PROGRAMS

pytestmark = pytest.mark.long

ROOT = Path(__file__).parent.parent
# Runs programs with the package of the wheel alone: the clone must not be importable.
RUN = """
import io, runpy, sys
from contextlib import redirect_stdout
sys.path = [place for place in sys.path if place not in ("", sys.argv[2])]
import ssl_keras
assert ssl_keras.__file__.startswith(sys.argv[1]), ssl_keras.__file__
for line in sys.argv[3:]:
    program, *arguments = line.split()
    sys.argv = [program, *arguments]
    printed = io.StringIO()
    try:
        with redirect_stdout(printed):
            runpy.run_module(f"ssl_keras.{program}", run_name="__main__")
    except SystemExit as end:
        assert not end.code, (line, end.code, printed.getvalue())
    assert printed.getvalue(), line
assert "tools" not in sys.modules
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that the wheel is installed to; what it needs comes from this environment."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"  # a build leaves its files beside what it builds
    source.mkdir()
    for name in ("ssl_keras", "flags"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, source / name, symlinks=True, ignore=ignored)
    for name in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    build = [
        *pip,
        "wheel",
        "--no-deps",
        "--no-build-isolation",
        f"--wheel-dir={folder}",
        str(source),
    ]
    subprocess.run(build, check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    target = folder / "site"
    install = [*pip, "install", "--no-deps", f"--target={target}", str(wheel)]
    subprocess.run(install, check=True, capture_output=True)
    return target


def run(site: Path, folder: Path, *lines: str) -> None:
    process = subprocess.run(
        [sys.executable, "-c", RUN, str(site), str(ROOT), *lines],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 0, process.stderr[-3000:]


@pytest.mark.full
def test_every_program_has_its_help_and_flagfiles_ride_along(site: Path, tmp_path: Path) -> None:
    names = sorted(path.name for path in (ROOT / "flags").glob("*.flags"))
    assert sorted(p.name for p in (site / "ssl_keras" / "flagfiles").iterdir()) == names
    checks = [
        # Fashion-MNIST is neither installed nor prepared everywhere.
        f"train --flagfile={name.removesuffix('.flags')} --only_check_args"
        + (" --source=mnist_5k --data_dir=." if "fashion" in name else "")
        for name in names
    ]
    run(site, tmp_path, *(f"{program} --help" for program in PROGRAMS), *checks)


@pytest.mark.full
def test_the_one_command_and_the_data_ride_along(site: Path, tmp_path: Path) -> None:
    scripts = {path.name for path in (site / "bin").iterdir()}
    assert {name for name in scripts if name.startswith("ssl")} == {"ssl-keras"}
    sources = site / "ssl_keras" / "datasets" / "sources"
    for name in ("mnist_5k.npz", "mnist_5k.md"):
        original = ROOT / "ssl_keras" / "datasets" / "sources" / name
        assert (sources / name).read_bytes() == original.read_bytes()
    (metadata,) = site.glob("ssl_keras-*.dist-info/METADATA")
    assert "Requires-Python: >=3.11,<3.14\n" in metadata.read_text().replace(
        "<3.14,>=3.11", ">=3.11,<3.14"
    )
    command = [sys.executable, str(site / "bin" / "ssl-keras")]
    for line, code, printed in (
        ("train --flagfile=smoke --only_check_args", 0, "The flags are valid.\n"),
        ("train --stepz=1", 2, "ssl-keras train: Unknown flag --stepz: did you mean --steps? "),
    ):
        done = subprocess.run(
            [*command, *line.split()],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(site)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == code, done.stderr
        assert (done.stdout + done.stderr).startswith(printed)


@pytest.mark.full
def test_a_run_and_what_follows_it_work_outside_a_clone(site: Path, tmp_path: Path) -> None:
    small = "--flagfile=smoke --steps=2 --batch_size=32 --width_multiplier=0.25 --workdir=run"
    run(
        site,
        tmp_path,
        f"train {small} --heads=knn --max_train_images=200 --measure_images=0",
        "evaluate --run=run --heads=linear",
        "finetune --run=run --steps=2",
        "export --run=run --output=encoder",
        "show_views --flagfile=smoke --show_images=2 --show_pairs=1 --output=views.png",
        "reproduce precision --scale=smoke --seeds=1",
    )
    assert (tmp_path / "views.png").is_file()
    assert (tmp_path / "encoder" / "saved_model.pb").is_file()
    assert list(tmp_path.glob("runs/reproduce/smoke-results/precision.png"))
