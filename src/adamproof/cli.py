"""The command line.  Heavy imports happen inside the commands, so that ``--help`` is quick.

Exit status: 0 as expected, 1 a verdict differs, 2 the command cannot be carried out.
"""

from __future__ import annotations

import _thread
import sys
import threading
from pathlib import Path
from typing import Annotated, Optional

import typer

from .errors import UsageError

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Prove or refute what people say about Adam, on the code that really runs.",
    epilog="Add --debug to any command for a traceback.",
)

Options = Annotated[
    Optional[list[str]],  # noqa: UP045  (Typer reads the annotation at run time)
    typer.Option("--option", "-o", metavar="NAME=VALUE", help="Constructor option of the subject."),
]
Device = Annotated[str, typer.Option(help="Where the real optimizers run: cpu, cuda, cuda:1, …")]
Against = Annotated[str, typer.Option(help="The paper's rule that the subject should run.")]


@app.command()
def check(
    claim: Annotated[list[str], typer.Option("--claim", help="Only this claim.")] = [],  # noqa: B006
    subject: Annotated[
        list[str], typer.Option("--subject", help="Only this subject, or a class module:Class.")
    ] = [],  # noqa: B006
    family: Annotated[str, typer.Option(help="Only claims of this family.")] = "",
    option: Options = None,
    against: Against = "",
    device: Device = "cpu",
    json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON.")] = False,
    junit: Annotated[Optional[Path], typer.Option(help="Write JUnit XML there.")] = None,  # noqa: UP045
    update_ledger: Annotated[
        bool, typer.Option("--update-ledger", help="Record what was found.")
    ] = False,
    all_subjects: Annotated[
        bool, typer.Option("--all", help="Name every subject in the table.")
    ] = False,
    collapse: Annotated[
        bool, typer.Option("--collapse", help="One row for each family of claims.")
    ] = False,
    no_cache: Annotated[
        bool, typer.Option("--no-cache", help="Judge everything anew; read and write no cache.")
    ] = False,
) -> None:
    """Judge the claims, and compare every verdict with the recorded one.

    Exit status 1: a verdict is not the recorded one, or a class of your own is not shown to run the
    rule named by --against.  Its other verdicts are reported, also the undecided ones.
    """
    from .checking import check as run

    raise typer.Exit(
        run(
            claim_ids=claim,
            subject_ids=subject,
            family=family,
            options=option or [],
            against=against,
            device=device,
            as_json=json,
            junit=junit,
            update=update_ledger,
            everything=all_subjects,
            no_cache=no_cache,
            collapse=collapse,
        )
    )


@app.command()
def lift(
    subject: Annotated[str, typer.Argument(help="A class module:Class, such as torch.optim:AdamW.")],
    option: Options = None,
    unroll: Annotated[int, typer.Option(help="Unroll this many steps from the start.")] = 0,
    latex: Annotated[bool, typer.Option("--latex", help="Print LaTeX.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print formulas that SymPy reads.")] = False,
    against: Against = "",
) -> None:
    """Print the update rule that an optimizer really runs."""
    from .lifting import show

    raise typer.Exit(
        show(subject, option or [], unroll=unroll, latex=latex, as_json=json, against=against)
    )


@app.command()
def explain(
    claim: Annotated[str, typer.Argument(help="The id of a claim.")],
    subject: Annotated[str, typer.Option("--subject", help="The rule to derive it for.")] = "",
    against: Against = "",
    latex: Annotated[bool, typer.Option("--latex", help="As a LaTeX document.")] = False,
    notebook: Annotated[bool, typer.Option("--notebook", help="As a Jupyter notebook.")] = False,
    out: Annotated[Optional[Path], typer.Option(help="Write the document there.")] = None,  # noqa: UP045
) -> None:
    """Print a claim: statement, derivation or witness, repair, source."""
    from .explaining import explain as run

    if latex and notebook:
        raise UsageError("--latex and --notebook are two documents; choose one")
    form = "latex" if latex else "notebook" if notebook else "terminal"
    raise typer.Exit(run(claim, subject, against=against, form=form, out=out))


@app.command()
def reproduce(
    name: Annotated[str, typer.Argument(help="A counterexample, or all.")] = "",
    steps: Annotated[Optional[int], typer.Option(help="Steps of the long run.")] = None,  # noqa: UP045
    seeds: Annotated[Optional[int], typer.Option(help="Random repetitions.")] = None,  # noqa: UP045
    optimizer: Annotated[str, typer.Option(help="One more to run: MODULE:CLASS(OPTION=VALUE).")] = "",
    pattern: Annotated[str, typer.Option(help="Gradients of a period: 100,-1,-1.")] = "",
    betas: Annotated[str, typer.Option(help="β1,β2 in place of its own: 0.9,0.999.")] = "",
    C: Annotated[str, typer.Option("--C", help="The large slope in place of its own.")] = "",
    plot: Annotated[Optional[Path], typer.Option(help="Draw a picture there.")] = None,  # noqa: UP045
    out: Annotated[Optional[Path], typer.Option(help="With all: the folder.")] = None,  # noqa: UP045
    device: Device = "cpu",
    json: Annotated[bool, typer.Option("--json", help="Print the evidence as JSON.")] = False,
    list_them: Annotated[bool, typer.Option("--list", help="List the counterexamples.")] = False,
) -> None:
    """Replay a counterexample: exact evidence, the runs side by side, a picture.

    Some take numbers in place of their own; one that does not fit is refused, with what would.
    """
    from .reproduce import listing, run_all
    from .reproduce import reproduce as run
    from .wishes import read

    if list_them or not name:
        raise typer.Exit(listing())
    given = {"--plot": plot, "--optimizer": optimizer, "--json": json, "--pattern": pattern,
             "--betas": betas, "--C": C}  # fmt: skip
    unfit = [option for option, value in given.items() if value] if name == "all" else []
    if unfit:
        raise UsageError(f"reproduce all takes no {unfit[0]}: name one counterexample for it.")
    if out is not None and name != "all":
        raise UsageError("--out is the folder of `reproduce all`: --plot draws one counterexample.")
    if name == "all":
        raise typer.Exit(run_all(out, steps=steps, seeds=seeds, device=device))
    raise typer.Exit(
        run(name, steps=steps, seeds=seeds, optimizer=optimizer, plot=plot, device=device, as_json=json,
            wish=read(pattern, betas, C))
    )  # fmt: skip


experiments = typer.Typer(no_args_is_help=True, help="Judge what only data can judge.")
app.add_typer(experiments, name="experiment")
Study = Annotated[str, typer.Argument(metavar="STUDY", help="Its name; `list` has them.")]
Size = Annotated[str, typer.Option(help="How much of it: small, default or large.")]
Results = Annotated[Path, typer.Option(metavar="DIR", help="The folder of rows and pictures.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@experiments.command("list")
def experiment_list(results: Results = Path("results"), json: AsJson = False) -> None:
    """List the studies, and how many rows of each are known."""
    from .experiment import listing

    raise typer.Exit(listing(results, as_json=json))


@experiments.command("run")
def experiment_run(
    study: Study,
    size: Size = "default",
    workers: Annotated[int, typer.Option(metavar="N", help="Processes of this machine.")] = 0,
    scheduler: Annotated[
        str, typer.Option(metavar="ADDRESS", help="A Dask scheduler: tcp://HOST:PORT.")
    ] = "",
    device: Device = "cpu",
    results: Results = Path("results"),
    json: AsJson = False,
) -> None:
    """Compute what is missing of a study, and print what it found.

    Stop it at any time: it goes on from there.  Exit status 1: a control failed.
    """
    from .experiment import run as run_study

    raise typer.Exit(
        run_study(study, size, count=workers, scheduler=scheduler, device=device, results=results,
                  as_json=json)
    )  # fmt: skip


@experiments.command("show")
def experiment_show(
    study: Study, size: Size = "default", results: Results = Path("results"), json: AsJson = False
) -> None:
    """Print what a study found, or what is missing, without computing it."""
    from .experiment import show as show_study

    raise typer.Exit(show_study(study, size, results=results, as_json=json))


@experiments.command("export")
def experiment_export(
    study: Study,
    out: Annotated[Path, typer.Option(metavar="FILE", help="Write the rows there.")],
    size: Size = "default",
    form: Annotated[str, typer.Option("--format", help="csv or parquet.")] = "csv",
    results: Results = Path("results"),
) -> None:
    """Write the rows of a study that are known, for other programs."""
    from .exporting import export

    raise typer.Exit(export(study, size, form=form, out=out, results=results))


def main() -> None:
    """Run the command line; every failure is one sentence and a status."""
    debug = "--debug" in sys.argv
    sys.unraisablehook = _unraisable
    arguments = [a for a in sys.argv[1:] if a != "--debug"]
    try:
        status = app(arguments, standalone_mode=False)
    except KeyboardInterrupt:
        if debug:
            raise
        _fail("interrupted; what was finished is kept")
    except Exception as error:
        if debug:
            raise
        _fail(_sentence(error))
    else:
        if status == 130:  # what Typer makes of Ctrl-C
            _fail("interrupted; what was finished is kept")
        sys.exit(status or 0)


def _unraisable(event: sys.UnraisableHookArgs) -> None:
    """Interrupt again where Ctrl-C came inside of a destructor, such as z3's, which cannot raise.

    A little later, from another thread: here, it would be lost as well.
    """
    if event.exc_type is KeyboardInterrupt:
        threading.Timer(0.01, _thread.interrupt_main).start()
    else:
        sys.__unraisablehook__(event)


def _sentence(error: Exception) -> str:
    """Return what went wrong, in one sentence."""
    if isinstance(error, UsageError):
        return str(error)
    if isinstance(error, typer.Abort):
        return "interrupted; what was finished is kept"
    if hasattr(error, "format_message"):  # Typer's own complaints about usage
        return str(error.format_message())
    return f"{type(error).__name__}: {error} (run again with --debug for the traceback)"


def _fail(message: str) -> None:
    text = " ".join(message.split())
    print(f"adamproof: {text}", file=sys.stderr)
    sys.exit(2)
