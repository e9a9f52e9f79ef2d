"""Studies run to the same table whatever dies on the way, and compute nothing twice."""

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import BrokenExecutor, Executor, Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cloudpickle
import pytest

from adamproof.experiments import runner, workers
from adamproof.experiments.runner import RunError, survey
from adamproof.experiments.spec import Job, Spec
from adamproof.experiments.store import Store
from adamproof.experiments.study import Table
from adamproof.experiments.workers import WorkerError

from . import toy

SCRIPT = Path(__file__).with_name("toy.py")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "rows.sqlite"


@pytest.fixture
def store(path: Path) -> Iterator[Store]:
    with Store(path) as opened:
        yield opened


def start(path: Path, log: Path, *settings: str) -> "subprocess.Popen[str]":
    """Run the toys in a process of their own, which heads a group."""
    words, pipe = [sys.executable, SCRIPT, path, log, *settings], subprocess.PIPE
    return subprocess.Popen(words, stdout=pipe, stderr=pipe, text=True, start_new_session=True)


def finish(process: "subprocess.Popen[str]", seconds: float = 60) -> tuple[str, str]:
    out, err = process.communicate(timeout=seconds)
    assert process.returncode == 0, err
    return out, err


def bits(path: Path, size: str = "small") -> str:
    """Return all rows of the study, exactly; NaN is NaN."""
    with Store(path) as store:
        state = survey(toy.study(), size, store)
        assert not state.missing
        return repr(sorted((spec.fields, dict(row)) for spec, row in state.table.items()))


def counts(log: Path) -> Counter[str]:
    return Counter(log.read_text().split()) if log.exists() else Counter()


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The table of a run that nothing disturbed, in this process."""
    path = tmp_path_factory.mktemp("whole") / "rows.sqlite"
    with Store(path) as store:
        assert len(toy.compute(store, toy.study())) == 60
    return bits(path)


# -- the loop --------------------------------------------------------------------------------------


def test_the_plan_is_asked_until_it_wants_nothing_new(store):  # type: ignore[no-untyped-def]
    asked: list[int] = []

    def plan(table: Table, size: str) -> list[Spec]:
        asked.append(len(table))
        return toy.plan(table, size)

    told: list[tuple[str, int, int]] = []
    toy.compute(store, toy.study(plan=plan), progress=lambda *seen: told.append(seen))
    assert set(asked) == {0, 48, 60}  # never with part of what it wants
    assert told[0] == ("stage 1", 0, 48) and ("stage 1", 48, 48) in told
    assert told[-1] == ("stage 2", 60, 60)
    assert ("stage 1", 3, 48) in told  # batch by batch


def test_the_plan_sees_only_what_it_asked_for(store):  # type: ignore[no-untyped-def]
    toy.compute(store, toy.study(), "default")
    assert len(toy.compute(store, toy.study(), "small")) == 60
    assert len(survey(toy.study(), "default", store).table) == 120


def test_what_is_finished_is_not_computed_again(store, tmp_path, whole):  # type: ignore[no-untyped-def]
    log = tmp_path / "log"
    for size in ("small", "small", "default"):
        toy.compute(store, toy.study(toy.Slope(str(log))), size)
    assert set(counts(log).values()) == {1} and len(counts(log)) == 120
    assert bits(store.path) == whole


def test_rows_say_how_they_were_made(store):  # type: ignore[no-untyped-def]
    table = toy.compute(store, toy.study(), device="meta")
    (how,) = {tuple(h.items())[:-1] for h in store.how(table).values()}
    found = dict(how)
    assert found["threads"] == 1 and found["device"] == "meta" and len(found["code"]) == 16
    assert "torch" in found["versions"] and "python" in found["versions"]


class Watched(ThreadPoolExecutor):
    """Remembers its futures, and the most that were not done at once."""

    def __init__(self, workers: int) -> None:
        super().__init__(workers)
        self.futures: list[Any] = []
        self.most = 0

    def submit(self, *args: Any, **kwargs: Any) -> Any:
        self.futures.append(super().submit(*args, **kwargs))
        self.most = max(self.most, sum(not future.done() for future in self.futures))
        return self.futures[-1]


def test_in_flight_is_bounded(store):  # type: ignore[no-untyped-def]
    with Watched(2) as pool:
        table = toy.compute(store, toy.study(toy.Slope(seconds=0.005)), executor=pool)
    assert len(table) == 60 and 2 <= pool.most <= 4


def test_torch_has_one_thread_in_a_job_and_its_own_after(store):  # type: ignore[no-untyped-def]
    import torch

    def measure(job: Job) -> list[dict[str, float]]:
        return [{"loss": torch.get_num_threads()} for _ in job.seeds]

    torch.set_num_threads(2)
    try:
        table = toy.compute(store, toy.study(measure))
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(1)
    assert {row["loss"] for row in table.values()} == {1}


# -- what goes wrong -------------------------------------------------------------------------------


def test_a_job_that_raises_is_named_and_the_others_are_kept(store):  # type: ignore[no-untyped-def]
    def measure(job: Job) -> list[dict[str, float]]:
        if 4 in job.seeds and job.specs[0].method == "adam":
            raise ZeroDivisionError("no slope at the top")
        return list(toy.Slope()(job))  # type: ignore[arg-type]

    with pytest.raises(RunError) as failed:
        toy.compute(store, toy.study(measure))
    assert str(failed.value) == (
        "toy: 2 jobs failed, first slope of adam on ridge, seeds 3 to 5: "
        "ZeroDivisionError: no slope at the top"
    )
    assert "in measure" in failed.value.__notes__[0]
    assert len(survey(toy.study(), "small", store).table) == 48 - 6
    missing = survey(toy.study(), "small", store).missing
    with Store(store.path) as other:  # another process may try
        assert all(other.claim(batch) for batch in missing)


def test_no_more_jobs_are_begun_after_many_have_failed(store):  # type: ignore[no-untyped-def]
    def measure(job: Job) -> list[dict[str, float]]:
        raise ValueError("never")

    with pytest.raises(RunError, match="10 jobs failed"):
        toy.compute(store, toy.study(measure))


BAD_ROWS = {
    "2 rows for 3 specifications": lambda job: [{}, {}],
    "a row holds numbers, texts and None by name": lambda job: [{"x": [1]}] * 3,
    "not iterable": lambda job: None,
}


@pytest.mark.parametrize("told, measure", BAD_ROWS.items(), ids=list(BAD_ROWS))
def test_rows_that_are_none_are_refused(store, told, measure):  # type: ignore[no-untyped-def]
    with pytest.raises(RunError, match=told):
        toy.compute(store, toy.study(measure))


class Untravelled(Exception):
    """An error that pickle cannot make again."""

    def __init__(self, one: str, two: str) -> None:
        super().__init__(one + two)


def test_an_error_that_does_not_travel_is_told(store):  # type: ignore[no-untyped-def]
    def measure(job: Job) -> list[dict[str, float]]:
        raise Untravelled("a", "b")

    with pytest.raises(RunError, match="Untravelled: ab"):
        toy.compute(store, toy.study(measure))


WANTS = {
    "there is no measure 'slop'; there are slope.": Spec("slop", "ridge", "adam", 0),
    "there is no task 'rigde'; there are valley, ridge.": Spec("slope", "rigde", "adam", 0),
    "there is no method 'adan'; there are sgd, adam.": Spec("slope", "ridge", "adan", 0),
}


@pytest.mark.parametrize("told, spec", WANTS.items(), ids=list(WANTS))
def test_an_unknown_name_is_told_before_anything_runs(store, told, spec):  # type: ignore[no-untyped-def]
    known = Spec("slope", "ridge", "adam", 0)
    with pytest.raises(RunError) as failed:
        toy.compute(store, toy.study(plan=lambda table, size: [known, spec]))
    assert str(failed.value) == told
    assert not store.rows([known])


def test_no_seeds_and_no_size_are_told(store):  # type: ignore[no-untyped-def]
    with pytest.raises(RunError, match="wants no runs at size small: it has no seeds"):
        toy.compute(store, toy.study(plan=lambda table, size: []))
    with pytest.raises(RunError, match="no size 'huge'; there are small, default, large"):
        toy.compute(store, toy.study(), "huge")


class Dying(Executor):
    """Loses the worker of every job, or of every third."""

    def __init__(self, always: bool) -> None:
        self.always, self.count = always, 0

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Any:
        self.count += 1
        future = workers.Serial().submit(fn, *args, **kwargs)
        if self.always or self.count % 3 == 1:
            future = type(future)()
            future.set_exception(ConnectionResetError("a cable"))
        return future


def test_what_a_dead_worker_had_is_tried_again_a_few_times(store, whole):  # type: ignore[no-untyped-def]
    toy.compute(store, toy.study(), executor=Dying(always=False))
    assert bits(store.path) == whole
    dying = Dying(always=True)
    with pytest.raises(RunError, match="its worker died 3 times"):
        toy.compute(store, toy.study(), "default", executor=dying)


class Shared(Executor):
    """Loses everything that is open soon after a job of seed 5 comes, as a pool does."""

    def __init__(self) -> None:
        self.open: list[Future[Any]] = []
        self.lock = threading.Lock()

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Any:
        future: Future[Any] = Future()
        job: Job = cloudpickle.loads(cloudpickle.loads(args[0])[0])
        self.open.append(future)
        if 5 in job.seeds:
            threading.Timer(0.02, self.lose).start()
        else:
            threading.Timer(0.2, self.finish, (future, fn(*args))).start()
        return future

    def lose(self) -> None:
        with self.lock:
            while self.open:
                self.open.pop().set_exception(BrokenExecutor("a worker died"))

    def finish(self, future: "Future[Any]", result: Any) -> None:
        with self.lock:
            if future in self.open:
                self.open.remove(future)
                future.set_result(result)


def test_who_dies_beside_a_deadly_job_is_not_blamed(store):  # type: ignore[no-untyped-def]
    six = toy.study(plan=lambda table, size: [Spec("slope", "ridge", "adam", seed) for seed in range(6)])
    with pytest.raises(RunError, match=r"toy: a job failed, .* seeds 3 to 5: its worker died 3 times"):
        toy.compute(store, six, executor=Shared(), in_flight=2)
    assert [spec.seed for spec in survey(six, "small", store).table] == [0, 1, 2]


def test_an_executor_that_is_shut_down_is_told(store):  # type: ignore[no-untyped-def]
    pool = ThreadPoolExecutor(1)
    pool.shutdown()
    with pytest.raises(WorkerError, match="takes no more jobs"):
        toy.compute(store, toy.study(), executor=pool)


@pytest.mark.parametrize("address", ["", "nonsense", "tcp://localhost:1", "tcp://nowhere.invalid:80"])
def test_a_scheduler_that_is_not_there_is_one_sentence(address, monkeypatch):  # type: ignore[no-untyped-def]
    # A client that finds nobody takes ten seconds to be rid of, and complains: none is made.
    monkeypatch.setattr("distributed.Client", lambda *args, **settings: pytest.fail("made"))
    with (
        pytest.raises(WorkerError, match=f"no Dask scheduler answers at '{address}'"),
        workers.cluster(address),
    ):
        pass


def without_dask(store: Store) -> None:
    with workers.cluster("tcp://localhost:1"):
        pass


def without_cloudpickle(store: Store) -> None:
    toy.compute(store, toy.study())


@pytest.mark.parametrize("use", [without_dask, without_cloudpickle])
def test_what_is_not_installed_is_one_sentence(monkeypatch, store, use):  # type: ignore[no-untyped-def]
    for module in ("distributed", "cloudpickle"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(WorkerError, match=r"is not installed.*pip install 'adamproof\[experiments\]'"):
        use(store)


def test_an_interrupt_takes_back_what_has_not_begun(store):  # type: ignore[no-untyped-def]
    def progress(stage: str, done: int, wanted: int) -> None:
        if done:
            raise KeyboardInterrupt

    slow = toy.study(toy.Slope(seconds=0.2))
    with Watched(1) as pool, pytest.raises(KeyboardInterrupt):
        toy.compute(store, slow, executor=pool, progress=progress, in_flight=4)
    assert any(future.cancelled() for future in pool.futures)
    assert 3 <= len(survey(toy.study(), "small", store).table) < 48


# -- processes that die ----------------------------------------------------------------------------


def test_killed_ten_times_nothing_is_lost_or_computed_twice(path, tmp_path, whole):  # type: ignore[no-untyped-def]
    """A batch is computed twice only if the kill fell between its computation and its writing."""
    random_moment, log = random.Random(0), tmp_path / "log"
    kept, before = set[str](), Counter[str]()
    for _ in range(10):
        process = start(path, log, "seconds=0.01")
        until = counts(log).total() + random_moment.randrange(3, 8)
        while counts(log).total() < until and process.poll() is None:
            time.sleep(random_moment.random() / 200)
        process.kill()
        process.communicate()
        now = counts(log)
        assert all(now[key] == before[key] for key in kept)  # what was kept is not computed again
        with Store(path) as store:
            known = {spec.key for spec in survey(toy.study(), "small", store).table}
        assert kept <= known
        kept, before = known, now
    finish(start(path, log))
    assert bits(path) == whole
    assert all(counts(log)[key] == before[key] for key in kept)
    assert counts(log).total() - 60 <= 3 * 10  # one batch a kill, at most


def test_two_processes_share_the_work(path, tmp_path, whole):  # type: ignore[no-untyped-def]
    log = tmp_path / "log"
    both = [start(path, log, "seconds=0.02") for _ in range(2)]
    for process in both:
        assert finish(process)[0] == "60\n"
    assert bits(path) == whole
    assert set(counts(log).values()) == {1}
    assert [p.name for p in tmp_path.iterdir() if "rows" in p.name] == ["rows.sqlite"]


def test_a_worker_that_dies_loses_only_its_own(path, tmp_path, whole):  # type: ignore[no-untyped-def]
    log, die = tmp_path / "log", tmp_path / "die"
    die.mkdir()
    finish(start(path, log, "workers=2", f"die={die}", "seconds=0.01"))
    assert len(list(die.iterdir())) == 1
    assert bits(path) == whole


def test_a_job_that_kills_its_workers_fails_alone(path, tmp_path):  # type: ignore[no-untyped-def]
    log, die = tmp_path / "log", tmp_path / "die"
    die.mkdir()
    process = start(path, log, "workers=2", f"die={die}", "deaths=99")
    _, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert (
        "toy: 4 jobs failed, first slope of adam on ridge, seeds 3 to 5: its worker died 3 times" in err
    )
    with Store(path) as store:
        missing = survey(toy.study(), "small", store).missing
    assert {s.seed for batch in missing for s in batch} == {3, 4, 5}


def interrupted(process: "subprocess.Popen[str]", log: Path) -> str:
    """Wait for some rows, press Ctrl-C, and return what is told."""
    while counts(log).total() < 9 and process.poll() is None:
        time.sleep(0.005)
    os.killpg(process.pid, signal.SIGINT)  # a terminal tells the workers too
    _, err = process.communicate(timeout=30)
    assert process.returncode != 0
    return err


@pytest.mark.parametrize("how", [[], ["workers=2"]], ids=str)
def test_ctrl_c_keeps_what_is_finished(path, tmp_path, whole, how):  # type: ignore[no-untyped-def]
    log = tmp_path / "log"
    err = interrupted(start(path, log, "seconds=0.05", *how), log)
    assert err.count("Traceback") == 1 and err.rstrip().endswith("KeyboardInterrupt")  # no worker's
    with Store(path) as store:
        assert 3 <= len(survey(toy.study(), "small", store).table) < 48
        assert store._db.execute("SELECT count(*) FROM claims").fetchone() == (0,)
    finish(start(path, log))
    assert bits(path) == whole


def test_a_worker_leaves_ctrl_c_to_its_parent():  # type: ignore[no-untyped-def]
    with workers.processes(1) as (executor, _):
        worker = executor.submit(os.getpid).result()
        os.kill(worker, signal.SIGINT)
        assert executor.submit(os.getpid).result() == worker


def test_an_interrupt_ends_workers_in_the_middle():  # type: ignore[no-untyped-def]
    pool = workers.processes(1)
    executor, _ = pool.__enter__()
    future = executor.submit(time.sleep, 20)
    while not future.running():
        time.sleep(0.01)
    pool.__exit__(KeyboardInterrupt, KeyboardInterrupt(), None)
    assert isinstance(future.exception(), BrokenExecutor)


def test_workers_do_not_outlive_a_killed_parent(path, tmp_path):  # type: ignore[no-untyped-def]
    log = tmp_path / "log"
    process = start(path, log, "seconds=0.2", "workers=2")
    while not counts(log) and process.poll() is None:
        time.sleep(0.01)
    process.kill()
    process.wait()
    # The pipe closes when nobody holds its other end: the workers have inherited it.
    assert process.communicate(timeout=20)[1] is not None


#: Two workers in processes of their own, until the standard input ends.
CLUSTER = """
import sys
from distributed import LocalCluster
if __name__ == "__main__":
    options = dict(threads_per_worker=1, processes=True, dashboard_address=None)
    with LocalCluster(n_workers=2, **options) as cluster:
        print(cluster.scheduler_address, flush=True)
        sys.stdin.read()
"""


def test_a_cluster_whose_worker_is_killed_gives_the_same_bits(path, tmp_path, whole):  # type: ignore[no-untyped-def]
    log, die, script = tmp_path / "log", tmp_path / "die", tmp_path / "two_workers.py"
    die.mkdir()
    script.write_text(CLUSTER)
    pipe = subprocess.PIPE
    cluster = subprocess.Popen(
        [sys.executable, script], stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, text=True
    )
    with cluster:
        assert cluster.stdin is not None and cluster.stdout is not None
        address = cluster.stdout.readline().strip()
        finish(start(path, log, f"scheduler={address}", f"die={die}"))
        cluster.stdin.close()
    assert len(list(die.iterdir())) == 1
    assert bits(path) == whole


def test_jobs_of_a_study_are_told_in_words():  # type: ignore[no-untyped-def]
    assert runner.told([Spec("m", "t", "a", 3)]) == "m of a on t, seed 3"
