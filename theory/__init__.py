"""What is true on paper: update rules as transition systems, claims about them, derivations.

Never imports torch.  Table of contents:

==================  ==========================================================
``interval``        exact rationals and outward-rounded enclosures
``identity``        the small checker: polynomial identities and signs, on ``Fraction``
``records``         claim, goal, step, case, verdict, assurance level
``symbols``         the paper's symbols and their domains
``rule``            an update rule as a transition system; its exact runs
``evaluate``        formulas in rationals, enclosures or floats
``rules``           the rules as the papers write them; ``rules_relatives`` goes on
``sources``         the papers
``catalogue``       every claim, by id
``roles``           what the parts of a rule are: moments, denominator
``lemmas``          facts about powers, each with the steps that prove it
``jury``            when the roots of a quadratic and a cubic lie in the unit disk
``oscillator``      a rule on a quadratic, as a linear recurrence
``floats``          binary formats in rationals: rounding to nearest even
``lines``           how the files of rules write a rule
==================  ==========================================================

The claims, by family:

==================  ==========================================================
faithfulness        ``faithful`` (is the code the paper?)
bias correction     ``bias_correction`` ``uncorrected`` ``windows`` ``estimates`` ``curvature``
step size           ``step_size`` ``step_bound`` ``scale`` ``signs`` ``rates`` ``adagrad`` ``sparse``
                    ``rate_variance`` ``warmup`` ``conventions`` ``idle``
weight decay        ``weight_decay`` ``adam_l2`` ``decay_limits``
AMSGrad             ``amsgrad``
convergence         ``convergence`` ``regret`` ``regret_schedule`` ``drift``
relatives           ``relatives`` ``rectifier`` ``radam_warmup`` ``nadam`` ``bounds`` ``kinship``
                    ``other_averages``
invariance          ``invariance`` ``factors`` ``batches``
stability           ``stability`` ``two_cycle``
sharpness           ``sharpness`` ``nullspace``
precision           ``precision`` ``freeze`` ``counter`` ``memory`` ``envelope``
==================  ==========================================================
"""

if __name__ != "adamproof.theory":
    raise ImportError("import adamproof.theory, not the folder under another name")
