"""Where jobs run: here, in processes of this machine, on a Dask cluster, on any executor.

A job travels as the bytes of cloudpickle, so that a function defined in a notebook travels whole.  It
runs on one thread of torch wherever it runs, because sums depend on the number of threads.
"""

from __future__ import annotations

import io
import multiprocessing
import os
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import BrokenExecutor, Executor, Future, ProcessPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import wait
from typing import Any
from urllib.parse import urlsplit

from .provenance import Provenance, code, versions
from .spec import Job, Row
from .store import written

_MISSING = "{0} is not installed, and {1} needs it: pip install 'adamproof[experiments]'."
_ONE_AT_A_TIME = threading.Lock()  # torch's generator and its threads are one for a whole process


class WorkerError(Exception):
    """There is nowhere to run; the message is one sentence."""


@dataclass(frozen=True)
class Done:
    """The rows of a job, in the order of its specifications, and how they were made."""

    rows: Sequence[Row]
    made: Provenance


@dataclass(frozen=True)
class Failed:
    """What a job raised: a sentence and the traceback.  As text, because not every error travels."""

    why: str
    trace: str


def pack(job: Job) -> bytes:
    """Return a job as bytes, with the names of the modules that it takes functions and classes from.

    Raises:
        WorkerError: cloudpickle is not installed, or something in the job does not travel.
    """
    try:
        import cloudpickle
    except ImportError as error:
        raise WorkerError(_MISSING.format("cloudpickle", "an experiment")) from error

    modules: set[str] = set()

    class Pickler(cloudpickle.Pickler):  # type: ignore[misc]
        def reducer_override(self, obj: Any) -> Any:
            modules.add(str(getattr(obj, "__module__", "")))
            return super().reducer_override(obj)

    buffer = io.BytesIO()
    try:
        Pickler(buffer).dump(job)
    except Exception as error:
        raise WorkerError(f"the job of {job.specs[0].text} does not travel: {error}") from error
    packed: bytes = cloudpickle.dumps((buffer.getvalue(), sorted(modules)))
    return packed


def call(packed: bytes) -> Done | Failed:
    """Run a packed job, on one thread of torch.  What it raises is returned."""
    import cloudpickle

    with _ONE_AT_A_TIME:
        try:
            payload, modules = cloudpickle.loads(packed)
            job: Job = cloudpickle.loads(payload)
            start = time.perf_counter()
            with _one_thread() as threads:
                rows = [dict(row) for row in job.function(job)]
                used = threads()
            seconds = time.perf_counter() - start
            if len(rows) != len(job.specs):
                raise ValueError(f"{len(rows)} rows for {len(job.specs)} specifications")
            for row in rows:
                written(row)
            return Done(rows, Provenance(code(modules), versions(), used, job.device, seconds))
        except Exception as error:
            return Failed(f"{type(error).__name__}: {error}", traceback.format_exc())


@contextmanager
def _one_thread() -> Iterator[Callable[[], int]]:
    """Keep torch, if it is loaded, to one thread; yields what tells how many it really has."""
    torch = sys.modules.get("torch")
    before = torch.get_num_threads() if torch else 1
    if torch and before != 1:
        torch.set_num_threads(1)
    try:
        yield lambda: int(sys.modules["torch"].get_num_threads()) if "torch" in sys.modules else 1
    finally:
        if torch and before != 1:
            torch.set_num_threads(before)


class Serial(Executor):
    """Runs a job here and now."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Run it, and return the finished future.  Ctrl-C goes through."""
        future: Future[Any] = Future()
        future.set_result(fn(*args, **kwargs))
        return future


class Processes(Executor):
    """Fresh Python processes; a pool whose worker died is replaced at the next job.

    Args:
        workers: How many.
    """

    def __init__(self, workers: int) -> None:
        self._max_workers = workers
        self._pool = self._new()

    def _new(self) -> ProcessPoolExecutor:
        context = multiprocessing.get_context("spawn")
        return ProcessPoolExecutor(self._max_workers, mp_context=context, initializer=_begin)

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Hand a job to the pool."""
        try:
            return self._pool.submit(fn, *args, **kwargs)
        except BrokenExecutor:
            self._pool.shutdown()
            self._pool = self._new()
            return self._pool.submit(fn, *args, **kwargs)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """End the workers; with `cancel_futures`, in the middle of what they do."""
        if cancel_futures:
            # Python 3.14 has terminate_workers() for this.
            for process in dict(getattr(self._pool, "_processes", None) or {}).values():
                process.terminate()
        self._pool.shutdown(wait, cancel_futures=cancel_futures)


def _begin() -> None:
    """Begin a worker: one thread, no say in Ctrl-C, and no life without its parent."""
    os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent hears it, and ends its workers
    parent = multiprocessing.parent_process()

    def follow() -> None:
        if parent is not None:
            wait([parent.sentinel])
            os._exit(1)

    threading.Thread(target=follow, daemon=True).start()


@contextmanager
def processes(workers: int) -> Iterator[tuple[Executor, int]]:
    """Yield an executor of that many processes, and how many jobs it should hold at once.

    When something is raised, the workers end in the middle of what they do.
    """
    executor = Processes(workers)
    try:
        yield executor, 2 * workers
    except BaseException:
        executor.shutdown(cancel_futures=True)
        raise
    executor.shutdown()


@contextmanager
def cluster(address: str) -> Iterator[tuple[Executor, int]]:
    """Connect to a Dask scheduler; yields an executor, and how many jobs it should hold at once.

    Raises:
        WorkerError: Dask is not installed, nobody answers there, or there are no workers.
    """
    try:
        from distributed import Client
    except ImportError as error:
        raise WorkerError(_MISSING.format("dask.distributed", "--scheduler")) from error
    try:
        # First by hand: a client that finds nobody takes ten seconds more to be rid of.
        where = urlsplit(address)
        socket.create_connection((where.hostname, where.port or 0), timeout=5).close()
        connect: Any = Client  # not typed
        client = connect(address, timeout=5, set_as_default=False)
    except (OSError, ValueError, TypeError) as error:  # a timeout is an OSError
        why = getattr(error, "strerror", None) or str(error).partition("\n")[0]
        hint = "it looks like tcp://HOST:PORT"
        raise WorkerError(f"no Dask scheduler answers at {address!r} ({why}); {hint}.") from error
    try:
        with suppress(TimeoutError):
            client.wait_for_workers(1, timeout=5)
        threads = sum(client.nthreads().values())
        if not threads:
            raise WorkerError(f"the Dask scheduler at {address} has no workers; start some.")
        # Not pure: two jobs of the same bytes are two jobs.
        yield client.get_executor(pure=False), 2 * threads
    finally:
        client.close()
