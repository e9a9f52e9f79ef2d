"""A release, as a stranger would make and install it: sdist, wheel, and wheel from the sdist."""

import os
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow


def run(*arguments: str | Path, cwd: Path, **env: str) -> str:
    result = subprocess.run(
        [sys.executable, *map(str, arguments)],
        cwd=cwd,
        env=os.environ | env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout
    return result.stdout


def build(source: Path, out: Path, *what: str) -> None:
    run("-m", "build", "--no-isolation", *what, "--outdir", out, source, cwd=source)


def only(folder: Path, pattern: str) -> Path:
    (found,) = folder.glob(pattern)
    return found


def contents(wheel: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


@pytest.fixture(scope="module")
def source(root: Path, repo_files: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a clone would hold, under a path with a space in it."""
    clone = tmp_path_factory.mktemp("a clone") / "adam proof"
    for name in repo_files:
        (clone / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(root / name, clone / name, follow_symlinks=False)
    return clone


@pytest.fixture(scope="module")
def sdist(source: Path) -> Path:
    build(source, source / "out", "--sdist")
    return only(source / "out", "*.tar.gz")


@pytest.fixture(scope="module")
def wheel(source: Path) -> Path:
    build(source, source / "out", "--wheel")
    return only(source / "out", "*.whl")


def expected_files(root: Path, repo_files: list[Path]) -> set[str]:
    """Every module of every listed package, and the data that a user needs."""
    config = tomllib.loads((root / "pyproject.toml").read_text())
    parts = [name.partition(".")[2] for name in config["tool"]["setuptools"]["packages"]]
    modules = {
        f"adamproof/{name.relative_to('src/adamproof') if part == '' else name}"
        for part in parts
        for name in repo_files
        if name.suffix == ".py" and name.parent == Path(part or "src/adamproof")
    }
    return modules | {"adamproof/py.typed", "adamproof/proofs_check/ledger.json"}


def test_wheel_holds_every_module_and_nothing_else(
    root: Path, repo_files: list[Path], wheel: Path
) -> None:
    shipped = {name for name in contents(wheel) if ".dist-info/" not in name}
    assert shipped == expected_files(root, repo_files)


def test_wheel_from_sdist_is_the_same(sdist: Path, wheel: Path, tmp_path: Path) -> None:
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path, filter="data")
    build(only(tmp_path, "adamproof-*"), tmp_path / "out", "--wheel")
    assert contents(only(tmp_path / "out", "*.whl")) == contents(wheel)


def test_installed_wheel_runs_elsewhere(wheel: Path, tmp_path: Path) -> None:
    place, neutral = tmp_path / "site packages", tmp_path / "elsewhere"
    neutral.mkdir()
    run(
        "-m", "pip", "install", "-qq", "--no-deps", "--no-index", "--target", place, wheel,
        cwd=neutral,
    )  # fmt: skip
    show = "import adamproof as a, adamproof.theory as t; print(a.__file__, t.__file__)"
    home, part = run("-c", show, cwd=neutral, PYTHONPATH=str(place)).strip().split(".py ")
    assert Path(home).is_relative_to(place)
    assert Path(part).is_relative_to(place)
    assert "Usage" in run("-m", "adamproof", "--help", cwd=neutral, PYTHONPATH=str(place))
