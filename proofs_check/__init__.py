"""The judge: lifts code, runs the engines, replays witnesses, reports.

The only place that sees both sides, theory/ and optimizers/.  Table of contents:

===============  ============================================================================
``symbolic``     the float that carries its formula through the optimizer's own Python code
``shadow``       the torch function mode that does the same for tensors
``operations``   what each torch operation means
``build``        constructing an optimizer with symbolic or plain hyper-parameters
``survey``       what an optimizer keeps and how it steps, before it is lifted
``runs``         one instrumented step: symbols in, formulas out
``hidden``       state kept where the optimizer's state is not
``lift``         reads the update rule out of a running optimizer
``subjects``     what is judged: the papers' rules, torch.optim, ours, a user's class
``engines``      identity checker, sign certificates, z3, Arb, SymPy: one thin function each
``replay``       runs the real optimizer along an exact witness
``judge``        claim × subject -> finding
``ledger``       the verdicts on record
``report``       tables, JSON, JUnit
``formula``      the lines of a rule as a person writes them
``printer``      characters: Unicode and LaTeX
``arb``, ``smt`` the engines' languages: Arb balls, z3 terms
===============  ============================================================================
"""

if __name__ != "adamproof.proofs_check":
    raise ImportError("import adamproof.proofs_check, not the folder under another name")
