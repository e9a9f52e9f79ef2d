"""Refuted statements, one per file, each with an exact witness.

Importing this folder, or any file in it, is light: SymPy, torch and numba are loaded by the call
that needs them.  Table of contents:

==============================  ====================================================================
``record``                      what a counterexample is
``catalogue``                   every counterexample, by id; a new file here is found by itself
``harness``                     one loop, one clamp, one schedule, for paper, torch and ours
``players``                     who plays in it: the paper's rule, exactly or in floats; real optimizers
``recurrence``                  the same runs a thousand times quicker, bit for bit
``compare``                     the runs side by side, each held against its implementation
``feed``                        a real optimizer on gradients that the caller names
``acts``                        a rule on a list of gradients, for paper, torch and ours
``theorems``                    what ``theory`` proves, as parts of a counterexample
``picture``                     how a picture is written; iterate and average regret against t
``reddi_online``                Adam stays at the worst point (RKK18, Theorem 1)
``reddi_period``                Adam goes to the worst point, AMSGrad to the best (RKK18, section 5)
``adagrad_never_rebounds``      AdaGrad's rate does not grow when the gradients shrink
``adagrad_stall``               AdaGrad's rate tends to 0, and it arrives all the same
``adamw_decay_follows_lr``      half the rate is half the decay of AdamW
``constant_gradient_variance``  v - m² is no variance: centered RMSprop on a constant
``l2_has_other_limits``         Adam + L2 stays where AdamW leaves
``l2_is_not_decay``             Adam + L2 does not decay in its first step
``momentum_conventions``        heavy ball and the rate inside part when the rate changes
``momentum_l2_is_not_decay``    momentum remembers an L2 penalty
``rare_gradient``               Adam takes smaller steps for gradients that come every 2 … 105 steps
``sign_of_nothing``             sign descent stands still, Lion decays
``silent_gradient``             a gradient of zero moves a parameter
``step_exceeds_lr``             a step of Adam is up to 7.27 times lr
``tiny_gradient``               a gradient as small as ε: half a step
``torch_amsgrad_rebound``       torch's AMSGrad: the effective rate grows 31-fold
``undamped_first_gradient``     torch does not dampen the first gradient
==============================  ====================================================================
"""

if __name__ != "adamproof.counterexamples":
    raise ImportError("import adamproof.counterexamples, not the folder under another name")
