"""Runs a study: what its plan wants and the store lacks, until the plan wants nothing new.

The plan sees the rows that it asked for and no others, and is asked again only when it has them all;
so a study that was stopped, or that shares its store with others, goes the same way as one that was
left alone.
"""

from __future__ import annotations

import os
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, CancelledError, Executor, Future, wait
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from .registry import UnknownNameError
from .spec import Job, Row, Spec, batches
from .store import Store
from .store_file import StoreError
from .study import SIZES, Study, Table
from .workers import Done, Failed, Serial, WorkerError, call, pack

Batch = tuple[Spec, ...]
Progress = Callable[[str, int, int], None]
"""``progress(stage, done, wanted)``: rows of a stage."""

WIDTH = 64
LOSSES = 3  # a job whose worker died as often has failed
FAILURES = 10  # no more jobs are begun after as many have failed
POLL = 0.1  # seconds between looks at what another process is at


class RunError(Exception):
    """The study cannot be finished; the message is one sentence.  Rows that were finished are kept."""


@dataclass(frozen=True)
class State:
    """How far a study is.

    Attributes:
        table: The rows that are known of those wanted so far.
        wanted: How many are wanted so far.
        missing: The batches that come next; none: the study is finished.
        stage: How often the plan was asked, less one.
    """

    table: Table
    wanted: int
    missing: tuple[Batch, ...]
    stage: int


def survey(study: Study, size: str, store: Store | None, width: int = WIDTH) -> State:
    """Return how far a study is; without a store, at its beginning.

    Raises:
        RunError: There is no such size, or the plan wants nothing.
        StoreError: The store cannot be read.
    """
    if size not in SIZES:
        raise RunError(f"there is no size {size!r}; there are {', '.join(SIZES)}.")
    wanted: set[Spec] = set()
    known: dict[Spec, Row] = {}
    stage = 0
    while True:
        table = Table(known)
        more = set(study.plan(table, size)) - wanted
        if not more and not stage:
            raise RunError(f"{study.name} wants no runs at size {size}: it has no seeds, or no methods.")
        if not more:
            return State(table, len(wanted), (), stage)
        stage += 1
        wanted |= more
        known = store.rows(wanted) if store else {}
        rest = (tuple(s for s in batch if s not in known) for batch in batches(wanted, width))
        missing = tuple(batch for batch in rest if batch)
        if missing:
            return State(Table(known), len(wanted), missing, stage)


def run(
    study: Study,
    size: str,
    store: Store,
    executor: Executor | None = None,
    device: str = "cpu",
    progress: Progress | None = None,
    *,
    width: int = WIDTH,
    in_flight: int | None = None,
    tasks: Mapping[str, object] | None = None,
    methods: Mapping[str, object] | None = None,
) -> Table:
    """Compute what is missing of a study, and return all its rows.

    Rows are written as they come, by this process.  A job whose worker dies is tried again, alone.
    When this is interrupted, or a job raises, what was finished is kept.

    Args:
        study: The study.
        size: ``small``, ``default`` or ``large``.
        store: Where the rows are, and go.
        executor: Where jobs run; by default here, one after the other.
        device: Where tensors lie.
        progress: Is told of every batch.
        width: How many seeds are trained together, at most.
        in_flight: How many jobs the executor holds at once; by default twice its workers.
        tasks: What the names of tasks stand for; by default what is registered.
        methods: What the names of methods stand for; by default what is registered.

    Raises:
        RunError: A name is not known, or jobs failed.
        WorkerError: There is nowhere to run.
        StoreError: The store cannot be read or written.
    """
    if tasks is None:
        from .tasks import TASKS

        tasks = TASKS
    if methods is None:
        from .methods import METHODS

        methods = METHODS
    if in_flight is None:
        workers = getattr(executor, "_max_workers", None) or os.cpu_count() or 1
        in_flight = 1 if executor is None else 2 * workers
    sweep = _Sweep(study, store, executor or Serial(), device, in_flight, tasks, methods)
    try:
        while (state := survey(study, size, store, width)).missing:
            sweep.run(state, progress or (lambda stage, done, wanted: None))
            sweep.report()
    finally:
        sweep.stop()
    return state.table


class _Sweep:
    """The batches of one stage on their way."""

    def __init__(
        self,
        study: Study,
        store: Store,
        executor: Executor,
        device: str,
        in_flight: int,
        tasks: Mapping[str, object],
        methods: Mapping[str, object],
    ) -> None:
        self.study, self.store, self.executor, self.device = study, store, executor, device
        self.in_flight, self.tasks, self.methods = in_flight, tasks, methods
        self.flying: dict[Future[Any], Batch] = {}
        self.waiting: deque[Batch] = deque()
        self.lost: deque[Batch] = deque()
        self.losses: Counter[Batch] = Counter()
        self.failed: list[tuple[Batch, Failed]] = []

    def run(self, state: State, progress: Progress) -> None:
        """Compute the batches that are missing; what fails is kept in `failed`."""
        for batch in state.missing:
            self.job(batch)  # an unknown name is known before anything is computed
        stage, done = f"stage {state.stage}", len(state.table)
        self.waiting.extend(state.missing)
        while self.waiting or self.lost or self.flying:
            progress(stage, done, state.wanted)
            done += self.begin()
            if self.flying:
                for future in wait(self.flying, return_when=FIRST_COMPLETED).done:
                    done += self.take(future)
            elif self.waiting:  # all at other processes
                time.sleep(POLL)
        progress(stage, done, state.wanted)

    def begin(self) -> int:
        """Submit what there is room for; return how many rows another process has finished."""
        if len(self.failed) >= FAILURES:
            self.waiting.clear()
            self.lost.clear()
        if self.lost:  # alone, so that the next loss has one cause
            if not self.flying:
                self.submit(self.lost.popleft())
            return 0
        elsewhere = 0
        for _ in range(len(self.waiting)):
            if len(self.flying) >= self.in_flight:
                break
            batch = self.waiting.popleft()
            mine = self.store.claim(batch)
            if mine is None:
                self.waiting.append(batch)
                continue
            elsewhere += len(batch) - len(mine)
            if mine:
                self.submit(mine)
        return elsewhere

    def submit(self, batch: Batch) -> None:
        """Hand a batch to the executor."""
        packed = pack(self.job(batch))
        try:
            future = self.executor.submit(call, packed)
        except RuntimeError as error:  # shut down, or broken for good
            raise WorkerError(f"the executor takes no more jobs: {error}") from error
        self.flying[future] = batch

    def take(self, future: Future[Any]) -> int:
        """Write the rows of a finished job, and return how many there are."""
        batch = self.flying.pop(future)
        try:
            found: Done | Failed = future.result()
        except CancelledError as error:
            raise WorkerError("the scheduler gave up jobs, or went away.") from error
        except Exception as error:  # what the job raised is returned: this is the loss of a worker
            self.losses[batch] += 1
            if self.losses[batch] < LOSSES:
                self.lost.append(batch)
                return 0
            found = Failed(f"its worker died {LOSSES} times ({type(error).__name__})", str(error))
        if isinstance(found, Failed):
            self.failed.append((batch, found))
            return 0
        self.store.add(batch, found.rows, found.made)
        return len(batch)

    def job(self, batch: Batch) -> Job:
        """Return the job of a batch, with what its names stand for."""
        spec = batch[0]
        function = _named("measure", spec.measure, self.study.measures)
        task = _named("task", spec.task, self.tasks)
        return Job(function, task, _named("method", spec.method, self.methods), batch, self.device)

    def report(self) -> None:
        """Say which jobs failed.

        Raises:
            RunError: Some did.
        """
        if not self.failed:
            return
        batch, found = self.failed[0]
        count = "a job" if len(self.failed) == 1 else f"{len(self.failed)} jobs"
        what = f"{self.study.name}: {count} failed, {told(batch)}: {found.why}"
        error = RunError(what if len(self.failed) == 1 else what.replace(" failed, ", " failed, first "))
        error.add_note(found.trace)
        raise error

    def stop(self) -> None:
        """Give up what is on its way: nothing, unless this was interrupted."""
        for future in self.flying:
            future.cancel()
        with suppress(StoreError):  # what was raised before says more
            self.store.release()


def _named(kind: str, name: str, known: Mapping[str, Any]) -> Any:
    try:
        return known[name]
    except UnknownNameError as error:
        raise RunError(str(error)) from error
    except KeyError as error:
        raise RunError(f"there is no {kind} {name!r}; there are {', '.join(known)}.") from error


def told(batch: Sequence[Spec]) -> str:
    """Return a batch in a few words.

    >>> told([Spec("training", "digits", "adam", seed, (("lr", "1/10"),)) for seed in (3, 4)])
    'training of adam on digits with lr=1/10, seeds 3 to 4'
    """
    spec, seeds = batch[0], [spec.seed for spec in batch]
    options = " with " + ", ".join(f"{n}={v}" for n, v in spec.options) if spec.options else ""
    which = f"seed {seeds[0]}" if len(seeds) == 1 else f"seeds {min(seeds)} to {max(seeds)}"
    return f"{spec.measure} of {spec.method} on {spec.task}{options}, {which}"
