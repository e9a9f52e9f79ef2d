"""The command line as a user meets it: exit statuses, one-sentence errors, files left alone."""

import json
import os
import re
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from adamproof import checking, cli
from adamproof.proofs_check import ledger, report
from adamproof.theory.catalogue import claims
from adamproof.theory.records import Finding, Level, Verdict

MY_OPTIMIZERS = '''
import torch

class Right(torch.optim.Optimizer):
    """Adam, written plainly, with other names for its state."""

    def __init__(self, params, lr=1e-3, betas=(0.9, 0.999), eps=1e-8):
        super().__init__(params, dict(lr=lr, betas=betas, eps=eps))

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            beta1, beta2 = group["betas"]
            for p in group["params"]:
                if p.grad is None:
                    continue
                s = self.state[p]
                if not s:
                    s["count"], s["first"], s["second"] = 0, torch.zeros_like(p), torch.zeros_like(p)
                s["count"] += 1
                s["first"] = beta1 * s["first"] + (1 - beta1) * p.grad
                s["second"] = beta2 * s["second"] + (1 - beta2) * p.grad ** 2
                m = s["first"] / (1 - beta1 ** s["count"])
                v = s["second"] / (1 - beta2 ** s["count"])
                p.sub_(group["lr"] * m / (v.sqrt() + group["eps"]))


class Wrong(Right):
    """The same with epsilon inside the root."""

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            beta1, beta2 = group["betas"]
            for p in group["params"]:
                if p.grad is None:
                    continue
                s = self.state[p]
                if not s:
                    s["count"], s["first"], s["second"] = 0, torch.zeros_like(p), torch.zeros_like(p)
                s["count"] += 1
                s["first"] = beta1 * s["first"] + (1 - beta1) * p.grad
                s["second"] = beta2 * s["second"] + (1 - beta2) * p.grad ** 2
                m = s["first"] / (1 - beta1 ** s["count"])
                v = s["second"] / (1 - beta2 ** s["count"])
                p.sub_(group["lr"] * m / (v + group["eps"]).sqrt())


class Picky(Right):
    def __init__(self, params, lr=1e-3):
        raise RuntimeError("the moon is not full")


class Broken(Right):
    def step(self, closure=None):
        raise RuntimeError("no step today")
'''


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's project, as the current folder."""
    (tmp_path / "mine.py").write_text(MY_OPTIMIZERS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "mine", raising=False)
    return tmp_path


def run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *words: str
) -> tuple[int, str, str]:
    """Run the command line in this process: status, standard output, standard error."""
    monkeypatch.setattr(sys, "argv", ["adamproof", *words])
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    out = capsys.readouterr()
    return int(stopped.value.code or 0), out.out, out.err


BAD = {
    ("check", "--claim", "kb-step-bond"): "did you mean kb-step-bound",
    ("check", "--family", "step sise"): "did you mean step size",
    ("check", "--subject", "torch.optim:Adm"): "did you mean",
    ("check", "--subject", "paper:adm"): "did you mean",
    ("check", "--subject", "nowhere:Adam"): "does not import",
    ("check", "--subject", "torch.nn:Linear"): "no torch.optim.Optimizer",
    ("check", "--subject", "torch.optim:Adam", "--against", "adan"): "did you mean",
    ("check", "--subject", "torch.optim:Adam", "-o", "lr=-1"): "fails: Invalid learning rate",
    ("check", "--subject", "torch.optim:Adam", "-o", "lr=nan"): "finite number",
    ("check", "--subject", "torch.optim:Adam", "-o", "lr"): "NAME=VALUE",
    ("check", "--subject", "torch.optim:Adam", "-o", "learning_rate=1"): "no option",
    ("check", "--subject", "mine:Picky"): "the moon is not full",
    ("check", "--subject", "mine:Broken"): "no step today",
    ("check", "--against", "adam"): "--subject",
    ("check", "--claim", "eps-hat", "--update-ledger"): "filters",
    ("check", "--device", "abacus"): "is no torch device",
    ("check", "--junit", "no/such/folder/x.xml"): "does not exist",
    ("check", "--junit", "."): "is a folder; name a file in it",
    ("check", "--family", "s"): "there are faithfulness, bias correction, step size",
    ("check", "--family", "AMSGrad", "--claim", "eps-hat"): "eps-hat is not of the family 'AMSGrad'",
    ("check", "--claim", "code-is-paper", "--subject", "paper:adam"): "none of the chosen claims",
    ("explain", "code-is-paper", "--against", "adam"): "name it with --subject",
    ("check", "--frobnicate",): "No such option",
    ("explain", "high-beta-forget"): "did you mean high-beta-forgets",
    ("explain", "kb-step-bound", "--subject", "torch.optim:SGD"): "does not apply",
    ("explain", "ema-window", "--subject", "torch.optim:SGD"): "mathematics alone",
    ("lift", "paper:adam"): "not lifted from code",
    ("lift", "torch.optim:Adam", "--unroll", "-1"): "1 or more",
    ("lift", "torch.optim:Adam", "-o", "fused=True"): "_fused_adam_",
    ("reproduce", "reddi-onlin"): "reddi-online",
    ("reproduce", "reddi-period", "--steps", "0"): "at least 1",
    ("reproduce", "reddi-period", "--plot", "no/such/folder/x.png"): "no/such/folder",
    ("nonsense",): "No such command",
}  # fmt: skip


@pytest.mark.parametrize(
    "words, told", BAD.items(), ids=lambda w: " ".join(w) if isinstance(w, tuple) else ""
)
def test_bad_input_is_one_sentence(words, told, folder, monkeypatch, capsys):  # type: ignore[no-untyped-def]
    status, out, err = run(monkeypatch, capsys, *words)
    assert status == 2
    assert told in err
    assert err.startswith("adamproof: ") and err.count("\n") == 1 and "Traceback" not in err
    assert not out


def test_cuda_without_cuda_is_one_sentence(monkeypatch, capsys):  # type: ignore[no-untyped-def]
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    for command in (["check"], ["reproduce", "reddi-period"]):
        status, _, err = run(monkeypatch, capsys, *command, "--device", "cuda")
        assert status == 2 and "CUDA" in err and err.count("\n") == 1


def test_debug_shows_the_traceback(monkeypatch, capsys):  # type: ignore[no-untyped-def]
    monkeypatch.setattr(sys, "argv", ["adamproof", "explain", "nope", "--debug"])
    with pytest.raises(cli.UsageError):
        cli.main()


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"claims": 3}', '{"claims": {"a": {"b": {"verdict": "proved"}}}}', "{"]
)
def test_ledger_that_is_not_valid(text, tmp_path, monkeypatch, capsys):  # type: ignore[no-untyped-def]
    path = tmp_path / "ledger.json"
    path.write_text(text)
    monkeypatch.setattr(ledger.load, "__defaults__", (path,))
    status, _, err = run(monkeypatch, capsys, "check", "--claim", "eps-hat")
    assert status == 2 and "is not valid" in err and "--update-ledger" in err
    assert path.read_text() == text


def test_missing_ledger(tmp_path, monkeypatch, capsys):  # type: ignore[no-untyped-def]
    monkeypatch.setattr(ledger.load, "__defaults__", (tmp_path / "none.json",))
    status, _, err = run(monkeypatch, capsys, "check", "--claim", "eps-hat")
    assert status == 2 and "there is no ledger" in err


def test_a_changed_verdict_is_status_1(tmp_path, monkeypatch, capsys):  # type: ignore[no-untyped-def]
    rows = json.loads(ledger.PATH.read_text(encoding="utf-8"))
    rows["claims"]["kb-step-bound"]["torch.optim:Adam"]["verdict"] = "proved"
    rows["claims"]["kb-step-bound"]["torch.optim:AdamW"]["code_hash"] = "0"
    path = tmp_path / "ledger.json"
    path.write_text(json.dumps(rows))
    monkeypatch.setattr(ledger.load, "__defaults__", (path,))
    junit = tmp_path / "junit.xml"
    words = ("check", "--claim", "kb-step-bound", "--junit", str(junit))
    status, _, err = run(monkeypatch, capsys, *words)
    assert status == 1
    assert "differs: kb-step-bound on torch.optim:Adam: recorded proved (exact), found refuted" in err
    suite = ET.parse(junit).getroot()
    assert suite.get("failures") == "1" and len(suite) == int(suite.get("tests", "0")) > 10
    (failed,) = [c.get("name") for c in suite if c.find("failure") is not None]
    assert failed == "torch.optim:Adam"


def test_a_family_is_known_by_its_beginning(monkeypatch, capsys):  # type: ignore[no-untyped-def]
    words = ("--subject", "paper:amsgrad-after-max", "--json")
    status, out, _ = run(monkeypatch, capsys, "check", "--family", "amsg", *words)
    assert status == 0
    assert {claims()[row["claim"]].family for row in json.loads(out)} == {"AMSGrad"}


def test_many_differences_are_counted_not_named(tmp_path, monkeypatch, capsys):  # type: ignore[no-untyped-def]
    rows = json.loads(ledger.PATH.read_text(encoding="utf-8"))
    rows["claims"]["first-step-sign"] = {}
    path = tmp_path / "ledger.json"
    path.write_text(json.dumps(rows))
    monkeypatch.setattr(ledger.load, "__defaults__", (path,))
    monkeypatch.setattr(checking, "MAX_DIFFERENCES", 3)
    status, _, err = run(monkeypatch, capsys, "check", "--claim", "first-step-sign")
    told = re.findall("^differs: (.*)$", err, re.MULTILINE)
    assert status == 1 and len(told) == 4
    more = int(told[-1].split()[0])
    assert more > 10 and told[-1].endswith("findings more; --all names them")
    _, _, err = run(monkeypatch, capsys, "check", "--claim", "first-step-sign", "--all")
    assert len(re.findall("^differs: ", err, re.MULTILINE)) == more + 3


def test_what_is_undecided_is_skipped_in_junit(tmp_path):  # type: ignore[no-untyped-def]
    found = [Finding("eps-hat", "mine:A", Verdict.UNDECIDED, reason="budget: spent"),
             Finding("eps-hat", "mine:B", Verdict.PROVED, Level.EXACT)]  # fmt: skip
    report.write_junit(found, [], tmp_path / "junit.xml")
    cases = {c.get("name"): c.find("skipped") for c in ET.parse(tmp_path / "junit.xml").getroot()}
    assert cases["mine:B"] is None
    assert cases["mine:A"] is not None and cases["mine:A"].get("message") == "budget: spent"


def test_explain_compares_with_a_named_rule(folder, monkeypatch, capsys):  # type: ignore[no-untyped-def]
    words = ("explain", "code-is-paper", "--subject", "mine:Wrong")
    status, out, _ = run(monkeypatch, capsys, *words, "--against", "adam")
    assert status == 0 and "refuted (exact) for mine:Wrong" in out
    status, _, err = run(monkeypatch, capsys, *words)
    assert status == 2 and "does not apply" in err


def test_a_moved_hash_is_only_a_note(tmp_path, monkeypatch, capsys):  # type: ignore[no-untyped-def]
    rows = json.loads(ledger.PATH.read_text(encoding="utf-8"))
    for row in rows["claims"]["kb-step-bound"].values():
        row["code_hash"] = "0"
    path = tmp_path / "ledger.json"
    path.write_text(json.dumps(rows))
    monkeypatch.setattr(ledger.load, "__defaults__", (path,))
    status, _, err = run(monkeypatch, capsys, "check", "--claim", "kb-step-bound")
    assert status == 0 and "code hashes moved" in err


def test_json_has_the_promised_fields(monkeypatch, capsys):  # type: ignore[no-untyped-def]
    words = ("check", "--claim", "kb-step-bound", "--subject", "torch.optim:Adam", "--json")
    status, out, _ = run(monkeypatch, capsys, *words)
    (row,) = json.loads(out)
    assert status == 0
    assert list(row) == ["claim", "subject", "verdict", "level", "reason", "witness", "statement",
                         "code_hash", "seconds"]  # fmt: skip
    assert (row["verdict"], row["level"]) == ("refuted", "exact")
    assert "float64" in row["witness"]["replayed"]
    assert all(re.fullmatch(r"-?\d+(/\d+)?", v) for v in row["witness"]["point"].values())


def test_a_user_class_with_names_of_its_own(folder, monkeypatch, capsys):  # type: ignore[no-untyped-def]
    status, out, err = run(monkeypatch, capsys, "check", "--subject", "mine:Right", "--against", "adam")
    assert status == 0, err
    assert "code-is-paper" in out and "kb-step-bound" in out and "undecided" not in out
    status, out, err = run(monkeypatch, capsys, "check", "--subject", "mine:Wrong", "--against", "adam")
    assert status == 1 and "differs: code-is-paper on mine:Wrong" in err
    status, out, _ = run(monkeypatch, capsys, "check", "--subject", "mine:Wrong")
    assert status == 0 and "code-is-paper" not in out


def test_lift_against(folder, monkeypatch, capsys):  # type: ignore[no-untyped-def]
    status, out, _ = run(monkeypatch, capsys, "lift", "mine:Right", "--against", "adam")
    assert status == 0 and "equal to paper:adam for every t (exact)" in out
    status, out, _ = run(monkeypatch, capsys, "lift", "mine:Wrong", "--against", "adam")
    assert status == 1 and "they differ at" in out and "real optimizer by" in out


def test_explain_prints_a_derivation_or_a_witness(monkeypatch, capsys):  # type: ignore[no-untyped-def]
    status, out, _ = run(monkeypatch, capsys, "explain", "adamw-box")
    assert status == 0
    for word in ("statement:", "hypotheses:", "source:", "derivation", "negative control", "on record"):
        assert word in out
    status, out, _ = run(monkeypatch, capsys, "explain", "kb-step-bound")
    assert status == 0 and "witness:" in out and "what is true instead" in out


def test_reproduce_lists(monkeypatch, capsys):  # type: ignore[no-untyped-def]
    status, out, _ = run(monkeypatch, capsys, "reproduce", "--list")
    assert status == 0 and "reddi-online" in out and "reddi-period" in out


def hears_interrupts() -> None:
    """Undo what a shell does to the jobs that it puts into the background: they ignore Ctrl-C."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def test_interrupt_is_one_sentence_and_changes_nothing(tmp_path: Path) -> None:
    before = ledger.PATH.read_bytes()
    child = subprocess.Popen(
        [sys.executable, "-m", "adamproof", "check", "--update-ledger"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path,
        env={**os.environ, "PYTHONUNBUFFERED": "1"}, preexec_fn=hears_interrupts,
    )  # fmt: skip
    try:
        time.sleep(6)
        child.send_signal(signal.SIGINT)
        _, err = child.communicate(timeout=60)
    finally:
        child.kill()  # a failing test must not leave it to the tests after it
        child.communicate()
    after = ledger.PATH.read_bytes()
    ledger.PATH.write_bytes(before)  # a failing test must not leave another ledger behind
    assert err.strip().splitlines()[-1].endswith("adamproof: interrupted; what was finished is kept")
    assert "Traceback" not in err
    assert after == before
    # Where the signal came inside of exec or eval of a string, CPython ends by the signal after all.
    assert child.returncode in (2, -signal.SIGINT)


def test_an_interrupt_inside_of_a_destructor_is_not_lost() -> None:
    code = """if True:
        import signal, sys, time
        from adamproof import cli

        class Held:
            def __del__(self):
                signal.raise_signal(signal.SIGINT)

        def app(*_, **__):
            Held()
            late = time.monotonic() + 30
            while time.monotonic() < late:
                pass

        cli.app = app
        cli.main()
    """
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60,
        preexec_fn=hears_interrupts,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "adamproof: interrupted; what was finished is kept\n"


def test_help_is_quick_to_load() -> None:
    code = (
        "import sys, adamproof.cli; print([m for m in ('torch', 'sympy', 'numpy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
