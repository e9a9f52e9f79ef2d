"""Refuted statements, one per file, each with an exact witness.

Importing this folder, or any file in it that holds a counterexample, is light: SymPy, torch and numba
are loaded by the call that needs them.  First what they share, then the counterexamples
(``NAME_proof`` holds the derivation of ``NAME``):

==============================  =========================================================================
``record``                      what a counterexample is
``catalogue``                   every counterexample, by id; a new file here is found by itself
``harness``                     one loop, one clamp, one schedule, for paper, torch and ours
``players``                     who plays in it: the paper's rule, exactly or in floats; real optimizers
``recurrence``                  the same runs a thousand times quicker, bit for bit
``skip``                        and what repeats in them computed once
``compare``                     the runs side by side, each held against its implementation
``chosen``                      periodic losses with the reader's slopes and betas
``feed``                        a real optimizer on gradients that the caller names
``acts``                        a rule on a list of gradients, for paper, torch and ours
``halves``                      Adam in a half type, exactly: each operation and each rounding of torch's
``seeds``                       many random games at once
``theorems``                    what ``theory`` proves, as parts of a counterexample
``picture``                     how a picture is written; iterate and average regret against t
``outward``                     vectors of float64 intervals, and products that know their error
``orbit``                       the moments under periodic gradients, in closed form, and their drift
``diagram``                     its sign over the square of betas, by cells; ``diagram_picture`` draws it
``parabolas``                   the same where gradients depend on x: drift and limits, certified
``enclosed``                    a run on parabolas between two rationals, by Arb
==============================  =========================================================================
``adabound_fails``              AdaBound stays at the worst point while its bounds are open (LX19)
``adagrad_never_rebounds``      AdaGrad's rate does not grow when the gradients shrink
``adagrad_stall``               AdaGrad's rate tends to 0, and it arrives all the same
``adam_limit_cycle``            Adam swings for ever on a parabola, or bursts (BW22)
``adamw_decay_follows_lr``      half the rate is half the decay of AdamW
``beta_phase_diagram``          Adam ends at the worst point for most betas
``bf16_freeze``                 in bfloat16 neither v nor x moves
``constant_gradient_variance``  v - m² is no variance: centered RMSprop on a constant
``dinh_rescaling``              the same function, arbitrarily sharp (D17, Theorem 4)
``fp16_nan``                    ε = 1e-8 is 0 in float16: NaN where the gradient is 0
``fused_sgd_half``              torch 2.13's fused SGD leaves half precision parameters alone
``l2_has_other_limits``         Adam + L2 stays where AdamW leaves
``l2_is_not_decay``             Adam + L2 does not decay in its first step
``momentum_conventions``        heavy ball and the rate inside part when the rate changes
``momentum_l2_is_not_decay``    momentum remembers an L2 penalty
``parabola_phase_diagram``      Adam ends between the minimiser, a mean, and the median
``rare_gradient``               Adam takes smaller steps for gradients that come every 2 … 105 steps
``reddi_general_beta``          any β1 < √β2 has a problem that Adam fails (RKK18, Theorem 2)
``reddi_online``                Adam stays at the worst point (RKK18, Theorem 1)
``reddi_period``                Adam goes to the worst point, AMSGrad to the best (RKK18, section 5)
``reddi_stochastic``            the same with random losses (RKK18, Theorem 3)
``sign_of_nothing``             sign descent stands still, Lion decays
``silent_gradient``             a gradient of zero moves a parameter
``step_counter_float32``        a float32 counter stops at 2^24, and AdaGrad's rate with it
``step_exceeds_lr``             a step of Adam is up to 7.27 times lr
``tiny_gradient``               a gradient as small as ε: half a step
``torch_amsgrad_rebound``       torch's AMSGrad: the effective rate grows 31-fold
``undamped_first_gradient``     torch does not dampen the first gradient
``wilson_separable``            adaptive rules fit the data and are at chance on new data (W17, 3.3)
==============================  =========================================================================
"""

if __name__ != "adamproof.counterexamples":
    raise ImportError("import adamproof.counterexamples, not the folder under another name")
