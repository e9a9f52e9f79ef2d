"""The README shows what the program prints: every console block is run and compared.

``python tests/test_readme.py`` rewrites the blocks.
"""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

README = Path(__file__).parents[1] / "README.md"
BLOCK = re.compile(r"```console\n\$ (adamproof [^\n]*)\n(.*?)```", re.DOTALL)


def printed(command: str) -> str:
    """Return what a command of the README prints."""
    words = shlex.split(command)
    run = subprocess.run(
        [sys.executable, "-m", *words],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
        env={**os.environ, "COLUMNS": "110"},
    )
    assert run.returncode in (0, 1), run.stderr
    return "\n".join(line.rstrip() for line in run.stdout.strip().splitlines()) + "\n"


@pytest.mark.parametrize("command, output", BLOCK.findall(README.read_text(encoding="utf-8")))
def test_console_block(command: str, output: str) -> None:
    assert output == printed(command)


def test_there_are_blocks() -> None:
    assert len(BLOCK.findall(README.read_text(encoding="utf-8"))) >= 3


def test_python_block_runs(capsys: pytest.CaptureFixture[str]) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    exec(compile(code, "README.md", "exec"), {})
    assert "μ_t" in capsys.readouterr().out


if __name__ == "__main__":
    text = README.read_text(encoding="utf-8")
    new = BLOCK.sub(lambda m: f"```console\n$ {m[1]}\n{printed(m[1])}```", text)
    README.write_text(new, encoding="utf-8")
