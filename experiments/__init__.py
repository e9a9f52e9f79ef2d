"""Studies of beliefs that only data can judge, their runner and their store.

=======================  ==================================================================
``spec``                 what is computed: exact options, the hash a row is kept under
``study``                a question, a plan that depends on what is known, verdicts
``registry``             names of tasks, methods, metrics and studies
``tasks``                data drawn by a seed, a model, a loss
``methods``              optimizers, their published learning rates, where tuning starts
``training``             ensembles trained in one tensor, each member as if it were alone
``tuning``               the same grid for every method, extended at its edge
``metrics``              what a row holds about the place where a run stands
``risk`` ``products``    losses of ensembles; Hessian and Gauss-Newton times vectors
``lanczos``              extreme eigenvalues of many matrices at once
``curvature``            eigenvalues, traces and norms at the weights
``sharpness``            how far the loss rises nearby
``single``               one model, by curvlinops
``statistics``           paired intervals, tests, equivalence, and what they say together
``comparison``           the runs that studies of optimizers share
``pictures``             how they are drawn
``store`` ``runner``     rows in SQLite; what is missing is run, anywhere
=======================  ==================================================================

The studies are the files with a ``STUDY``: ``sharp_vs_flat``, ``generalization_gap``, ``early_speed``,
``memory_and_jitter``, ``edge_of_stability``, ``l2_vs_decay``.
"""

if __name__ != "adamproof.experiments":
    raise ImportError("import adamproof.experiments, not the folder under another name")
