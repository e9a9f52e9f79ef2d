"""Proves or refutes, claim by claim, what people say about the optimizer Adam.

Importing this name alone is light: no torch, no SymPy. The parts are `adamproof.theory`,
`adamproof.optimizers`, `adamproof.counterexamples`, `adamproof.proofs_check` and
`adamproof.experiments`; they are the top-level folders of the repository, linked here.
"""

import time

__version__ = "0.1.0"

#: When this process began to read our files; the cache does not trust files that are younger.
STARTED = time.time()
