"""C to machine code, once: what was compiled is kept between processes."""

from __future__ import annotations

import ctypes
import functools
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from adamproof import caches


class NoCompiler(RuntimeError):
    """There is no C compiler, or it fails; the message says which."""


_FLAGS = ("-O3", "-march=native", "-fno-math-errno", "-fno-trapping-math", "-ffp-contract=off", "-fPIC",
          "-shared", "-std=gnu11")  # fmt: skip
#: What ends a file that was written whole, after the digest of what is before.
_END = b"adamproof kernel"


def compiler() -> str:
    """Return the C compiler.

    Raises:
        NoCompiler: there is none.
    """
    for name in filter(None, (os.environ.get("CC"), "cc", "gcc", "clang")):
        if found := shutil.which(name):
            return found
    raise NoCompiler("there is no C compiler (cc, gcc or clang, or one named in CC)")


@functools.cache
def build(text: str) -> Callable[..., int]:
    """Compile a kernel, or load it where it was compiled before.

    Raises:
        NoCompiler: there is no compiler, it fails, or the result cannot be written or loaded.
    """
    kept = caches.folder()
    if kept is not None:
        where = kept / "kernels"
        about = "\0".join((text, *_FLAGS, compiler(), _chip()))
        target = where / f"{hashlib.sha256(about.encode()).hexdigest()[:32]}.so"
        if _whole(target):
            try:
                return _loaded(target)
            except OSError:
                pass  # of another machine, say: made anew
        try:
            where.mkdir(mode=0o700, parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=where) as there:
                made = _compiled(text, Path(there))
                made.replace(target)  # whole or not at all, whoever else compiles it
            return _loaded(target)
        except OSError:
            pass  # a cache that cannot be written is no reason to do without the kernel
    try:
        with tempfile.TemporaryDirectory() as there:
            return _loaded(_compiled(text, Path(there)))
    except OSError as error:
        raise NoCompiler(f"a compiled kernel cannot be written or loaded ({error})") from error


def _compiled(text: str, there: Path) -> Path:
    """Compile into a folder; without threads where the compiler has no OpenMP.

    Raises:
        NoCompiler: there is no compiler, or it fails.
    """
    made, code = there / "kernel.so", there / "kernel.c"
    code.write_text(text, encoding="utf-8")
    for threads in (["-fopenmp"], []):
        done = subprocess.run([compiler(), *_FLAGS, *threads, str(code), "-o", str(made), "-lm"],
                              capture_output=True, text=True, errors="replace", check=False)  # fmt: skip
        if done.returncode == 0:
            content = made.read_bytes()
            made.write_bytes(content + hashlib.sha256(content).digest() + _END)
            return made
    told = " ".join(done.stderr.split())[:300] or f"status {done.returncode}"
    raise NoCompiler(f"the C compiler {compiler()} fails ({told})")


def _whole(target: Path) -> bool:
    """Whether a compiled kernel is there as it was written: half of one can end the process."""
    try:
        content = target.read_bytes()
    except OSError:
        return False
    body, digest = content[: -32 - len(_END)], content[-32 - len(_END) : -len(_END)]
    return content.endswith(_END) and hashlib.sha256(body).digest() == digest


def _loaded(target: Path) -> Callable[..., int]:
    step: Any = ctypes.CDLL(str(target)).step
    step.argtypes = [ctypes.c_int64, *[ctypes.c_void_p] * 5, ctypes.c_int64]
    step.restype = ctypes.c_int64
    call: Callable[..., int] = step
    return call


@functools.cache
def _chip() -> str:
    """Return what -march=native depends on, as far as the system tells."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return sys.platform
    return "".join(sorted({x for x in lines if x.startswith(("model name", "flags", "Features"))}))
