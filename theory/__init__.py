"""What is true on paper: update rules as transition systems, claims about them, derivations.

Never imports torch.  Table of contents:

==================  ==========================================================
``interval``        exact rationals and outward-rounded enclosures
``identity``        the small checker: polynomial identities and signs, on ``Fraction``
``records``         claim, goal, step, case, verdict, assurance level
``symbols``         the paper's symbols and their domains
``rule``            an update rule as a transition system; its exact runs
``rules``           the rules as the papers write them
``sources``         the papers
``catalogue``       every claim, by id
``roles``           what the parts of a rule are: moments, denominator
``lemmas``          facts about powers, each with the steps that prove it
``bias_correction`` ``windows`` ``estimates`` ``step_size`` ``scale`` ``weight_decay`` ``amsgrad``
                    and ``faithful`` (is the code the paper?): the claims
==================  ==========================================================
"""

if __name__ != "adamproof.theory":
    raise ImportError("import adamproof.theory, not the folder under another name")
