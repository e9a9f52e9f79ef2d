"""The catalogue: every claim is a whole record, and a fresh judgement finds what is on record."""

import inspect
import itertools
from collections.abc import Iterator
from fractions import Fraction

import pytest

from adamproof.proofs_check import engines, ledger
from adamproof.proofs_check.judge import MAX_RUNS, SAME_RULE, Judge, excess_at
from adamproof.proofs_check.subjects import Subject, builtin
from adamproof.theory.catalogue import claims
from adamproof.theory.faithful import paper_of
from adamproof.theory.records import Case, Claim, Finding, Holds, Level, Point, Runs, Step, Verdict
from adamproof.theory.rules import RULES

#: What people believe: each must be judged.  The claims beside them are the true statements.
IDS = [
    # Bias correction
    "ema-unrolled", "bias-correction-unbiased", "bias-correction-nonstationary",
    "bias-correction-fades", "uncorrected-steps-tiny", "uncorrected-thirty-times", "raw-v1-factor",
    "ema-window", "high-beta-forgets", "v-is-variance", "adabelief-is-variance", "moments-from-mgf",
    # Step size
    "first-step-sign", "step-at-most-lr", "kb-step-bound", "scale-invariance", "sign-descent",
    "equal-betas-variance", "eps-hat", "lr-rebound", "sparse-gradient-step", "momentum-conventions",
    "adagrad-dies", "warmup-bounds-first-steps", "zero-correction-step-variance",
    # Weight decay
    "sgd-l2-equals-decay", "momentum-l2-equals-decay", "adam-l2-equals-decay",
    "frozen-preconditioner", "l2-decay-per-parameter", "adamw-uniform-decay", "adamw-lr-coupling",
    "adamw-order", "adamw-box", "l2-fixed-points",
    # AMSGrad and convergence
    "amsgrad-denominator-monotone", "amsgrad-rate-monotone", "adam-gamma-indefinite",
    "adam-proof-gap", "amsgrad-proof-gap", "amsgrad-regret", "adam-any-beta-fails",
    # Relatives
    "radam-rho", "radam-rectifier", "radam-is-warmup", "adabelief-epsilon", "adabound-limits",
    "swats-projection", "nadam-bias", "rmsprop-epsilon",
    # Stability and sharpness
    "gd-stability", "adam-edge", "adam-two-cycle", "sharpness-reparametrisation",
    "adaptive-nullspace",
    # Arithmetic
    "eps-fp16", "bf16-freeze", "float-envelope", "state-bytes",
    # More that people believe
    "rotation-invariance", "v-is-curvature", "corrected-step-unbiased", "large-epsilon-is-momentum",
    "adam-is-rmsprop-momentum", "adagrad-as-adam", "adamax-limit", "zero-gradient-no-update",
    "clipping-is-harmless", "sqrt-batch-scaling", "step-counter-float32",
    "sign-step-is-lr", "sign-box",
]  # fmt: skip

MATHEMATICS = "mathematics"
CLAIMS = list(claims().values())
Found = dict[tuple[str, str], Finding]


@pytest.fixture(scope="module")
def subjects() -> dict[str, Subject]:
    return builtin()


@pytest.fixture(scope="module")
def judge() -> Judge:
    return Judge()


@pytest.fixture(scope="module")
def found(judge: Judge, subjects: dict[str, Subject]) -> Found:
    """Everything, judged once."""
    return {(f.claim, f.subject): f for f in judge.all(subjects.values())}


def cases() -> Iterator[tuple[Claim, str, Case]]:
    """Yield what each claim says of each paper's rule."""
    for claim in CLAIMS:
        for name in RULES if claim.about != "mathematics" else ["adam"]:
            case = claim.judge(paper_of(name))
            if case is not None:
                yield claim, name, case


@pytest.fixture(scope="module")
def on_paper() -> list[tuple[Claim, str, Case]]:
    return list(cases())


# -- the records -----------------------------------------------------------------------------------


@pytest.mark.parametrize("id", IDS)
def test_the_catalogue_holds(id: str) -> None:
    assert id in claims()


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim.id)
def test_a_claim_is_a_whole_record(claim: Claim) -> None:
    for text in (claim.says, claim.statement, claim.family, claim.source.authors):
        assert text.strip() == text != ""
    assert claim.says.endswith(".")
    assert claim.statement.endswith(".")
    assert claim.source.year is None or 1900 < claim.source.year <= 2100
    assert claim.source.title
    assert claim.about in ("rules", "papers", MATHEMATICS)
    assert inspect.getdoc(claim.judge)


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim.id)
def test_a_claim_is_one_function_under_40_lines(claim: Claim) -> None:
    lines = inspect.getsource(claim.judge).splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("def "))  # after the record
    assert len(lines[start:]) < 40


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim.id)
def test_a_claim_applies_to_something(found: Found, claim: Claim) -> None:
    about = {subject for id, subject in found if id == claim.id}
    assert about
    assert (about == {MATHEMATICS}) == (claim.about == MATHEMATICS)


def test_derivations_can_be_read(on_paper: list[tuple[Claim, str, Case]]) -> None:
    steps: list[Step] = [step for _, _, case in on_paper for step in case.steps]
    assert len(steps) > 500
    assert all(step.text.strip() for step in steps)
    unexplained = {step.text for step in steps if not step.why.strip()}
    assert len(unexplained) <= 5


def test_derivations_have_a_control_and_assume_nothing_they_show(
    on_paper: list[tuple[Claim, str, Case]],
) -> None:
    for claim, name, case in on_paper:
        where = f"{claim.id} on {name}"
        assert case.steps or case.runs or case.statement or case.trial, where
        assert case.control is not None or not case.steps, where
        for step in case.steps:
            if isinstance(step.goal, Holds):
                assert step.goal.relation not in step.goal.given, f"{where}: {step.text}"


def test_a_derivation_that_stands_is_proved(
    found: Found, on_paper: list[tuple[Claim, str, Case]]
) -> None:
    rows = ledger.load()
    for claim, name, case in on_paper:
        if claim.id == SAME_RULE:  # a paper's rule is itself
            continue
        subject = f"paper:{name}" if claim.about != "mathematics" else MATHEMATICS
        if case.trial:  # about code, which paper is not
            assert (claim.id, subject) not in found
            continue
        finding = found[claim.id, subject]
        assert str(finding.verdict) == rows[claim.id][subject]["verdict"], (claim.id, name)
        stands = case.steps and all(answer.verdict is Verdict.PROVED for answer in finding.answers)
        assert (finding.verdict is Verdict.PROVED) == bool(stands), (claim.id, name)
        if finding.verdict is Verdict.PROVED:
            assert len(finding.answers) == len(case.steps), (claim.id, name)
            assert case.control not in [step.goal for step in case.steps], (claim.id, name)


# -- the verdicts ----------------------------------------------------------------------------------


def test_the_ledger_is_found_again(found: Found) -> None:
    differences, _ = ledger.compare(found.values(), ledger.load(), complete=True)
    assert [str(difference) for difference in differences] == []


def test_nothing_is_undecided(found: Found) -> None:
    told = (Verdict.PROVED, Verdict.REFUTED, Verdict.MEASURED)
    open_ = [f"{f.claim} on {f.subject}: {f.reason}" for f in found.values() if f.verdict not in told]
    assert open_ == []


def test_few_claims_rest_on_sympy_alone_and_say_why(found: Found) -> None:
    cas = {f.claim for f in found.values() if f.level is Level.CAS}
    assert 5 * len(cas) < len(CLAIMS)
    for f in found.values():
        assert f.level is not Level.CAS or f.reason, f.claim


def test_what_is_measured_is_about_code(
    found: Found, subjects: dict[str, Subject], on_paper: list[tuple[Claim, str, Case]]
) -> None:
    tried = {claim.id for claim, _, case in on_paper if case.trial}
    measured = {key for key, f in found.items() if f.verdict is Verdict.MEASURED}
    assert {claim for claim, _ in measured} == tried
    assert all(subjects[subject].recipe is not None for _, subject in measured)


def test_evidence_goes_with_the_verdict(found: Found, subjects: dict[str, Subject]) -> None:
    for key, finding in found.items():
        if finding.verdict is Verdict.PROVED:
            assert finding.witness is None, key
            assert finding.level is Level.weakest(a.level for a in finding.answers if a.level), key
            assert finding.answers, key
        elif finding.verdict is Verdict.MEASURED:
            assert finding.level is Level.SAMPLED, key
            assert finding.reason, key
        else:
            assert finding.level is Level.EXACT, key
            assert finding.witness is not None, key
            code = key[1] != MATHEMATICS and subjects[key[1]].recipe is not None
            assert bool(finding.witness.replayed) == code, key


def test_a_refuted_claim_is_repaired(found: Found) -> None:
    """The true theorem stands beside it: proved for a subject of which the belief is false."""
    refuted: dict[str, set[str]] = {}
    for (id, subject), finding in found.items():
        if finding.verdict is Verdict.REFUTED:
            refuted.setdefault(id, set()).add(subject)
    bare = {id: subjects for id, subjects in refuted.items() if not claims()[id].repaired_by}
    assert bare == {}
    for id, of in refuted.items():
        repair = claims()[id].repaired_by
        assert repair in claims(), id
        proved = {s for s in of if (f := found.get((repair, s))) and f.verdict is Verdict.PROVED}
        assert proved, f"{repair} is not proved where {id} is refuted"


def test_a_repair_repairs_what_is_false() -> None:
    assert not [c.id for c in CLAIMS if c.repaired_by == c.id]


#: subject -> verdict of ``amsgrad-denominator-monotone``.
MONOTONE = {
    "paper:amsgrad": "proved",
    "paper:amsgrad-before-max": "proved",
    "paper:amsgrad-after-max": "refuted",
    "torch.optim:Adam(amsgrad=True)": "refuted",
    "torch.optim:Adam(amsgrad=True, foreach=True)": "refuted",
    "adamproof.optimizers:AMSGrad": "proved",
    "adamproof.optimizers:AMSGradReference": "proved",
    "adamproof.optimizers:AMSGrad(correction='before_max')": "proved",
    "adamproof.optimizers:AMSGradReference(correction='before_max')": "proved",
    "adamproof.optimizers:AMSGrad(correction='after_max')": "refuted",
    "adamproof.optimizers:AMSGradReference(correction='after_max')": "refuted",
}


@pytest.mark.parametrize("subject", MONOTONE)
def test_amsgrads_denominator_falls_where_the_maximum_is_corrected(found: Found, subject: str) -> None:
    for id in ("amsgrad-denominator-monotone", "amsgrad-rate-monotone"):
        finding = found[id, subject]
        assert finding.verdict == MONOTONE[subject], id
        if finding.verdict is Verdict.REFUTED:
            assert finding.witness is not None
            assert bool(finding.witness.replayed) == (not subject.startswith("paper:"))
    # With α/√t all three orders are safe, and Adam itself is not.
    assert found["amsgrad-rate-sqrt-schedule", subject].verdict is Verdict.PROVED
    assert found["adam-gamma-indefinite", subject].verdict is Verdict.PROVED
    assert found["adam-gamma-indefinite", "torch.optim:Adam"].verdict is Verdict.REFUTED


@pytest.mark.parametrize(
    "subject",
    ["paper:adam", "torch.optim:Adam", "torch.optim:Adam(foreach=True)",
     "adamproof.optimizers:Adam", "adamproof.optimizers:AdamReference"],
)  # fmt: skip
def test_the_step_bound_of_the_paper_fails_and_the_tight_one_holds(found: Found, subject: str) -> None:
    refuted = found["kb-step-bound", subject]
    assert refuted.verdict is Verdict.REFUTED
    assert refuted.witness is not None
    assert refuted.witness.point
    assert all(isinstance(value, Fraction) for value in refuted.witness.point.values())
    assert all(value.denominator <= 16 for value in refuted.witness.point.values())
    assert claims()["kb-step-bound"].repaired_by == "step-bound"
    assert found["step-bound-tight", subject].verdict is Verdict.PROVED
    assert found["step-at-most-lr", subject].verdict is Verdict.REFUTED
    assert found["step-at-most-lr-iff", subject].verdict is Verdict.PROVED


@pytest.mark.parametrize(
    "name", [n for n, s in builtin().items() if s.recipe is not None and not s.compiled]
)
def test_the_code_runs_the_rule_of_the_paper(found: Found, name: str) -> None:
    finding = found[SAME_RULE, name]
    assert finding.verdict is Verdict.PROVED
    assert finding.level is Level.EXACT


# -- the witnesses ---------------------------------------------------------------------------------


def refutations(found: Found, on_paper: list[tuple[Claim, str, Case]]) -> Iterator[
    tuple[Claim, Case, str, Finding]
]:  # fmt: skip
    for claim, name, case in on_paper:
        subject = f"paper:{name}" if claim.about != "mathematics" else MATHEMATICS
        finding = found.get((claim.id, subject))
        if finding is not None and finding.verdict is Verdict.REFUTED:
            yield claim, case, name, finding


def test_a_witness_is_the_first_of_its_search_and_complete(
    found: Found, on_paper: list[tuple[Claim, str, Case]]
) -> None:
    """Nothing before it fails, and its own coordinates are enough to see it fail."""
    seen = 0
    for claim, case, name, finding in refutations(found, on_paper):
        if case.runs is None:
            continue
        assert finding.witness is not None
        witness, run = dict(finding.witness.point), paper_of(name).run
        alone = excess_at(case.runs.excess, run, witness)
        assert alone is not None, (claim.id, name)
        assert alone.certainly_positive(), (claim.id, name)
        assert str(alone) == finding.witness.excess, (claim.id, name)
        for point in before(case.runs, witness):
            excess = excess_at(case.runs.excess, run, point)
            assert excess is None or not excess.certainly_positive(), (claim.id, name, point)
        seen += 1
    assert seen > 30


def before(runs: Runs, witness: Point) -> list[Point]:
    points = list(itertools.islice(runs.over, MAX_RUNS))
    at = [all(point[n] == value for n, value in witness.items()) for point in points]
    return points[: at.index(True)]


def test_the_search_goes_from_plain_to_complicated(
    on_paper: list[tuple[Claim, str, Case]],
) -> None:
    """Each coordinate has an order of its own; the sum of the ranks never falls."""
    for claim, name, case in on_paper:
        if case.runs is None:
            continue
        points = list(itertools.islice(case.runs.over, MAX_RUNS))
        ranks: dict[str, list[Fraction]] = {}
        for point in points:  # a value's rank is when it is first tried
            for n, value in point.items():
                ranks.setdefault(n, [])
                ranks[n] += [] if value in ranks[n] else [value]
        sizes = [sum(ranks[n].index(v) for n, v in point.items()) for point in points]
        assert sizes[0] == 0, (claim.id, name)
        assert sizes == sorted(sizes), (claim.id, name)


def test_a_refuted_statement_fails_at_the_first_point_tried(
    found: Found, on_paper: list[tuple[Claim, str, Case]]
) -> None:
    for claim, case, name, finding in refutations(found, on_paper):
        if case.statement is not None:
            again = engines.decide(case.statement)
            assert again.verdict is Verdict.REFUTED, (claim.id, name)
            assert again.witness == finding.witness, (claim.id, name)


#: The shortest witnesses, which `adamproof explain` shows.
SMALLEST = {
    ("kb-step-bound", "paper:adam"): 3,
    ("step-at-most-lr", "paper:adam"): 2,
    ("first-step-sign", "paper:adam"): 1,
    ("scale-invariance", "paper:adam"): 1,
    ("momentum-l2-equals-decay", "paper:sgd+momentum+l2"): 2,
    ("adam-l2-equals-decay", "paper:adam+l2"): 1,
    ("amsgrad-denominator-monotone", "paper:amsgrad-after-max"): 2,
    ("adam-gamma-indefinite", "paper:adam"): 2,
}


@pytest.mark.parametrize(("claim", "subject"), SMALLEST)
def test_a_witness_takes_no_more_steps_than_it_must(found: Found, claim: str, subject: str) -> None:
    witness = found[claim, subject].witness
    assert witness is not None
    gradients = [name for name in witness.point if name.startswith("g")]
    assert len(gradients) <= SMALLEST[claim, subject]
    assert all(max(abs(v.numerator), v.denominator) <= 16 for v in witness.point.values())
