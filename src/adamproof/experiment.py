"""`adamproof experiment`: run a study, show what it found, hand out its rows."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

from rich.text import Text

from .device import check_device
from .errors import UsageError
from .experiment_report import columns, report, terminal, watched
from .experiments import workers
from .experiments.registry import UnknownNameError
from .experiments.runner import RunError, State, survey
from .experiments.runner import run as compute
from .experiments.store import Store
from .experiments.store_file import StoreError
from .experiments.studies import declared, studies
from .experiments.study import SIZES, Study
from .experiments.verdicts import conclude

RESULTS = Path("results")
FILE = "rows.sqlite"


@contextmanager
def told() -> Iterator[None]:
    """Turn what is wrong with a study, a worker or the store into one sentence."""
    try:
        yield
    except (RunError, workers.WorkerError, StoreError, UnknownNameError) as error:
        raise UsageError(str(error)) from error
    except ModuleNotFoundError as error:
        extra = "pip install 'adamproof[experiments]'"
        raise UsageError(f"experiments need {error.name}, which is not installed: {extra}") from error


def stored(results: Path) -> AbstractContextManager[Store | None]:
    """Open the store of a folder, if there is one."""
    file = results / FILE
    return Store(file) if file.exists() else nullcontext()


def run(
    name: str, size: str, *, count: int, scheduler: str, device: str, results: Path, as_json: bool
) -> int:
    """Compute what is missing of a study, then print what it found and draw its pictures.

    Returns:
        The exit status: 1 if a control failed.

    Raises:
        UsageError: It cannot be carried out; rows that were finished are kept.
    """
    if count < 0:
        raise UsageError(f"--workers must be at least 1, got {count}.")
    if count and scheduler:
        raise UsageError("--workers are of this machine, --scheduler has its own: choose one.")
    check_device(device)
    where: AbstractContextManager[tuple[Any, int | None]] = nullcontext((None, None))
    with told():
        study = studies()[name]
        survey(study, size, None)  # a wrong size, before anything is made
        with Store(results / FILE) as store:
            if survey(study, size, store).missing:
                if count or scheduler:
                    where = workers.cluster(scheduler) if scheduler else workers.processes(count)
                with where as (executor, in_flight), watched(study.name) as progress:
                    compute(study, size, store, executor, device, progress, in_flight=in_flight)
            state = survey(study, size, store)
            found = conclude(study, size, store, state)
            pictures = _drawn(study, size, state, results / name)
            notes = _mixed(store, state)
    return report(study, size, state, found, pictures, notes, as_json=as_json)


def show(name: str, size: str, *, results: Path, as_json: bool) -> int:
    """Print what a study found, from its rows; of one that is not finished, what is missing.

    Returns:
        The exit status: 1 if a control failed.

    Raises:
        UsageError: There is no such study or size, or the store cannot be read.
    """
    with told(), stored(results) as store:
        study = studies()[name]
        state = survey(study, size, store)
        finished = store is not None and not state.missing
        found = conclude(study, size, store, state) if finished and store else None
        notes = _mixed(store, state) if store else []
    pictures = sorted((results / name).glob("*")) if finished else []
    return report(study, size, state, found, pictures, notes, as_json=as_json)


def listing(results: Path, *, as_json: bool) -> int:
    """Print the studies, and how many rows of each are known.

    Returns:
        The exit status, 0.

    Raises:
        UsageError: The store cannot be read.
    """
    known = {name: (question, dict.fromkeys(SIZES, "")) for name, question in declared().items()}
    with told(), stored(results) as store:
        if store is not None:  # else nothing is known, and no study need be loaded
            for name, study in studies().items():
                states = {size: survey(study, size, store) for size in SIZES}
                known[name] = study.question, {size: _known(state) for size, state in states.items()}
    if as_json:
        whole = [{"study": n, "question": q, "rows": rows} for n, (q, rows) in known.items()]
        print(json.dumps(whole, indent=1, ensure_ascii=False))
        return 0
    table = columns("study", "question", *SIZES)
    for name, (question, rows) in known.items():
        table.add_row(name, Text(question), *(rows[size] or "not run" for size in SIZES))
    terminal().print(table)
    return 0


def _known(state: State) -> str:
    if not state.missing:
        return f"{state.wanted} rows"
    return f"{len(state.table)} of {state.wanted}" if state.table else ""


def _mixed(store: Store, state: State) -> list[str]:
    """Return what a reader must know about how the rows were made."""
    made = store.how(state.table)
    notes = []
    for what in ("code", "versions", "device"):
        kinds = {(spec.measure, how[what]) for spec, how in made.items()}
        if len(kinds) > len({measure for measure, _ in kinds}):
            notes.append(f"the rows were made with more than one {what.removesuffix('s')}")
    return notes


def _drawn(study: Study, size: str, state: State, folder: Path) -> list[Path]:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        pictures = list(study.draw(state.table, size, folder))
        if not any(folder.iterdir()):
            folder.rmdir()
    except OSError as error:
        raise UsageError(f"the pictures cannot be written to {folder}: {error.strerror}.") from error
    return pictures
