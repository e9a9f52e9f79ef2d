"""Proves or refutes, claim by claim, what people say about the optimizer Adam.

Importing this name alone is light: no torch, no SymPy. The parts are `adamproof.theory`,
`adamproof.optimizers`, `adamproof.counterexamples`, `adamproof.proofs_check` and
`adamproof.experiments`; they are the top-level folders of the repository, linked here.
"""

__version__ = "0.1.0"
