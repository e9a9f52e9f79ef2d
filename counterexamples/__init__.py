"""Refuted statements, one per file, each with an exact witness.

Importing this folder, or any file in it, is light: SymPy, torch and numba are loaded by the call
that needs them.  Table of contents:

======================  ==================================================================
``record``              what a counterexample is
``catalogue``           every counterexample, by id; a new file here is found by itself
``harness``             one loop, one clamp, one schedule, for paper, torch and ours
``players``             who plays in it: the paper's rule, exactly or in floats; real optimizers
``recurrence``          the same runs a thousand times quicker, bit for bit
``compare``             the runs side by side, each held against its implementation
``feed``                a real optimizer on gradients that the caller names
``theorems``            what ``theory`` proves, as parts of a counterexample
``picture``             how a picture is written; iterate and average regret against t
``adabound_fails``      AdaBound stays at the worst point while its bounds are open (LX19)
``adam_limit_cycle``    Adam swings for ever on a parabola, or bursts (BW22)
``reddi_general_beta``  any β1 < √β2 has a problem that Adam fails (RKK18, Theorem 2)
``reddi_online``        Adam stays at the worst point (RKK18, Theorem 1)
``reddi_period``        Adam goes to the worst point, AMSGrad to the best (RKK18, section 5)
``seeds``               many random games at once
``reddi_stochastic``    the same with random losses (RKK18, Theorem 3)
======================  ==================================================================
"""

if __name__ != "adamproof.counterexamples":
    raise ImportError("import adamproof.counterexamples, not the folder under another name")
