"""`adamproof experiment export`: the rows of a study as a table for other programs."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

from .errors import UsageError
from .experiment import stored, told
from .experiments.runner import survey
from .experiments.store import Store
from .experiments.studies import studies
from .experiments.study import Table

FORMATS = ("csv", "parquet")


def export(name: str, size: str, *, form: str, out: Path, results: Path) -> int:
    """Write the rows of a study that are known, one a line: specification, values, how it was made.

    Returns:
        The exit status, 0.

    Raises:
        UsageError: There is nothing to write, or it cannot be written.
    """
    if form not in FORMATS:
        raise UsageError(f"there is no format {form!r}; there are {', '.join(FORMATS)}.")
    with told(), stored(results) as store:
        study = studies()[name]
        table = survey(study, size, store).table
        if store is None or not table:
            raise UsageError(f"no rows of {name} at size {size} are known in {results}: run it first.")
        columns = flat(table, store)
    try:
        if form == "csv":
            _csv(columns, out)
        else:
            _parquet(columns, out)
    except OSError as error:
        raise UsageError(f"{out} cannot be written: {error.strerror or error}.") from error
    print(f"{len(table)} rows: {out}")
    return 0


def flat(table: Table, store: Store) -> dict[str, list[Any]]:
    """Return the rows as columns: the fields, ``option.…``, the measured values, ``made.…``."""
    made = store.how(table)
    rows: list[dict[str, Any]] = []
    for spec, row in table.items():
        fields = {"measure": spec.measure, "task": spec.task, "method": spec.method, "seed": spec.seed}
        options = {f"option.{name}": value for name, value in spec.options}
        how = {f"made.{name}": value for name, value in made[spec].items()}
        rows.append(fields | options | {f"value.{n}": v for n, v in row.items()} | how)
    names = sorted({name for row in rows for name in row}, key=_order)
    return {name: [row.get(name) for row in rows] for name in names}


def _order(name: str) -> tuple[int, str]:
    group = name.partition(".")[0]
    groups = ("measure", "task", "method", "seed", "option", "value", "made")
    return groups.index(group), name


def _csv(columns: dict[str, list[Any]], out: Path) -> None:
    """Write text: an empty cell is ``None``, and floats are as many digits as they need."""
    with out.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))


def _parquet(columns: dict[str, list[Any]], out: Path) -> None:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        extra = "pip install 'adamproof[experiments]', or take --format csv"
        raise UsageError(f"Parquet needs pyarrow, which is not installed: {extra}") from error

    def column(values: list[Any]) -> Any:
        try:
            return pa.array(values, from_pandas=False)  # NaN is NaN, None is null
        except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError):  # numbers and texts, or huge
            return pa.array([None if value is None else str(value) for value in values])

    pq.write_table(pa.table({name: column(values) for name, values in columns.items()}), out)
