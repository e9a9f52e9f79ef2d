"""The folders, their links, the package list and the weight of an import."""

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

PARTS = ["theory", "optimizers", "counterexamples", "proofs_check", "experiments"]


def run_python(code: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code], cwd=cwd, capture_output=True, text=True, check=False
    )


def folders_that_are_code(root: Path) -> set[str]:
    return {path.parent.name for path in root.glob("*/__init__.py")}


def test_listed_packages_are_the_folders_and_the_links(root: Path) -> None:
    config = tomllib.loads((root / "pyproject.toml").read_text())
    listed = config["tool"]["setuptools"]["packages"]
    links = {path.name for path in (root / "src/adamproof").iterdir() if path.is_symlink()}
    assert listed[0] == "adamproof"
    assert {name.removeprefix("adamproof.") for name in listed[1:]} == set(PARTS)
    assert folders_that_are_code(root) == set(PARTS)
    assert links == set(PARTS)


@pytest.mark.parametrize("part", PARTS)
def test_link_is_relative_and_leads_to_its_folder(root: Path, part: str) -> None:
    link = root / "src/adamproof" / part
    assert os.readlink(link) == f"../../{part}"
    assert link.resolve() == root / part


@pytest.mark.parametrize("part", PARTS)
def test_folder_stays_flat(root: Path, repo_files: list[Path], part: str) -> None:
    # A sub-folder of code would be missing from the list of packages, and so from a wheel.
    deep = [p for p in repo_files if p.parts[0] == part and p.suffix == ".py" and len(p.parts) > 2]
    assert deep == []


@pytest.mark.parametrize("part", PARTS)
def test_folder_refuses_another_name(root: Path, part: str) -> None:
    result = run_python(f"import sys; sys.path.insert(0, {str(root)!r}); import {part}", root)
    assert result.returncode != 0
    assert f"ImportError: import adamproof.{part}" in result.stderr


def test_readme_exists(root: Path) -> None:
    assert (root / "README.md").read_text().strip()


LOCAL_PATH = re.compile(r"(?<![\w.~/$})-])/(?:home|Users|root|work|tmp|mnt|opt)/|[A-Z]:\\Users\\")


def test_local_path_is_recognised() -> None:
    absolute = ["/" + rest for rest in ("home/ada/x.py", "tmp/out", "root/.cache")]
    assert all(LOCAL_PATH.search(f'path = "{path}"') for path in absolute)
    assert not LOCAL_PATH.search("../tmp/x, ~/work/x, {folder}/tmp/x, https://a.example/home/")


def test_no_file_mentions_a_local_path(root: Path, repo_files: list[Path]) -> None:
    found = []
    for name in repo_files:
        path = root / name
        if path.is_symlink():
            continue
        for number, line in enumerate(path.read_bytes().decode(errors="replace").splitlines(), 1):
            if LOCAL_PATH.search(line):
                found.append(f"{name}:{number}: {line.strip()[:80]}")
    assert found == []


HEAVY = """
heavy = sorted({"torch", "sympy", "numpy", "numba", "matplotlib", "z3", "flint"} & set(sys.modules))
sys.exit("imported: " + ", ".join(heavy) if heavy else 0)
"""


def test_import_is_light(tmp_path: Path) -> None:
    result = run_python("import sys, adamproof" + HEAVY, tmp_path)
    assert result.returncode == 0, result.stderr


def test_help_is_light(tmp_path: Path) -> None:
    code = """
import sys
from adamproof.cli import main
sys.argv = ["adamproof", "--help"]
try:
    main()
except SystemExit as stop:
    assert not stop.code, stop.code
"""
    result = run_python(code + HEAVY, tmp_path)
    assert result.returncode == 0, result.stderr
    assert "Usage" in result.stdout
