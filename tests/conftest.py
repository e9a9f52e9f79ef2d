"""What every test shares: the repository's files, hypothesis profiles, threads, the GPU."""

import os
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path

import pytest
from hypothesis import settings

ROOT = Path(__file__).resolve().parent.parent

# Tiny tensors on many threads are up to 100 times slower on a busy machine.  The variable reaches
# a torch that a test or its subprocess imports later.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# A verdict must not depend on the day: CI draws the same examples every time.
settings.register_profile("ci", derandomize=True, deadline=None, max_examples=100)
settings.register_profile("dev", deadline=None)
settings.load_profile("ci" if os.environ.get("CI") else "dev")


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Generator[None]:
    """A cache of their own for the tests, and for what they start."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ADAMPROOF_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def double() -> Generator[None]:
    """All in float64: torch's NAdam keeps its product of momenta in the default dtype."""
    import torch

    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)


@pytest.fixture(scope="session")
def root() -> Path:
    return ROOT


@pytest.fixture(scope="session")
def repo_files() -> list[Path]:
    """Files that are, or would be, committed; relative to the root, each link once as a link."""
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
        text=True,
    ).stdout
    names = sorted(set(listing.split("\0")) - {""})
    return [Path(name) for name in names if os.path.lexists(ROOT / name)]


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("gpu"):
        import torch

        if not torch.cuda.is_available():
            pytest.skip("needs a CUDA device")
    # Again before each test: numba's OpenMP layer undoes it without a word.
    torch_module = sys.modules.get("torch")
    if torch_module is not None and torch_module.get_num_threads() != 1:
        torch_module.set_num_threads(1)


@pytest.hookimpl(wrapper=True)
def pytest_sessionfinish(session: pytest.Session) -> Generator[None]:
    """A run in which every test was skipped has tested nothing, and says so by its status."""
    yield
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    ran = reporter is None or any(reporter.stats.get(kind) for kind in ("passed", "xfailed"))
    if session.exitstatus == pytest.ExitCode.OK and not ran and not session.config.option.collectonly:
        session.exitstatus = pytest.ExitCode.NO_TESTS_COLLECTED
