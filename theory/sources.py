"""The papers that the claims are taken from."""

from .records import Source

KB15 = Source("Kingma & Ba", 2015, "Adam: A Method for Stochastic Optimization", "1412.6980v9")
LH19 = Source("Loshchilov & Hutter", 2019, "Decoupled Weight Decay Regularization", "1711.05101v3")
RKK18 = Source("Reddi, Kale & Kumar", 2018, "On the Convergence of Adam and Beyond", "1904.09237v1")
XL24 = Source("Xie & Li", 2024, "Implicit Bias of AdamW", "2404.04454")
Z20 = Source("Zhuang et al.", 2020, "AdaBelief Optimizer", "2010.07468v5")
TP19 = Source("Tran & Phong", 2019, "On the Convergence Proof of AMSGrad and a New Version",
              "1904.03590")  # fmt: skip
W17 = Source("Wilson et al.", 2017, "The Marginal Value of Adaptive Gradient Methods in Machine "
             "Learning", "1705.08292")  # fmt: skip
L20 = Source("Liu et al.", 2020, "On the Variance of the Adaptive Learning Rate and Beyond",
             "1908.03265")  # fmt: skip
LX19 = Source("Luo et al.", 2019, "Adaptive Gradient Methods with Dynamic Bound of Learning Rate",
              "1902.09843")  # fmt: skip
S19 = Source("Savarese", 2019, "On the Convergence of AdaBound and its Connection to SGD",
             "1908.04457")  # fmt: skip
KS17 = Source("Keskar & Socher", 2017, "Improving Generalization Performance by Switching from "
              "Adam to SGD", "1712.07628")  # fmt: skip
D17 = Source("Dinh et al.", 2017, "Sharp Minima Can Generalize For Deep Nets", "1703.04933")
K17 = Source("Keskar et al.", 2017, "On Large-Batch Training for Deep Learning: Generalization Gap "
             "and Sharp Minima", "1609.04836")  # fmt: skip
C21 = Source("Cohen et al.", 2021, "Gradient Descent on Neural Networks Typically Occurs at the Edge "
             "of Stability", "2103.00065")  # fmt: skip
C22 = Source("Cohen et al.", 2022, "Adaptive Gradient Methods at the Edge of Stability", "2207.14484")
ZC22 = Source("Zhang et al.", 2022, "Adam Can Converge Without Any Modification On Update Rules",
              "2208.09632")  # fmt: skip
BW22 = Source("Bock & Weiß", 2022, "Non-Convergence and Limit Cycles in the Adam optimizer",
              "2210.02070")  # fmt: skip
A20 = Source("Alacaoglu, Malitsky, Mertikopoulos & Cevher", 2020, "A new regret analysis for Adam-type "
             "algorithms", "2003.09729")  # fmt: skip
MY21 = Source("Ma & Yarats", 2021, "On the adequacy of untuned warmup for adaptive optimization",
              "1910.04209")  # fmt: skip
DHS11 = Source("Duchi, Hazan & Singer", 2011, "Adaptive Subgradient Methods for Online Learning and "
               "Stochastic Optimization")  # fmt: skip
M21 = Source("Malladi et al.", 2022, "On the SDEs and Scaling Rules for Adaptive Gradient Algorithms",
             "2205.10287")  # fmt: skip
Z12 = Source("Zeiler", 2012, "ADADELTA: An Adaptive Learning Rate Method", "1212.5701")
B18 = Source("Bernstein et al.", 2018, "signSGD: Compressed Optimisation for Non-Convex Problems",
             "1802.04434")  # fmt: skip
CL23 = Source("Chen, Liu, Liang & Liu", 2023, "Lion Secretly Solves Constrained Optimization: As "
              "Lyapunov Predicts", "2310.05898")  # fmt: skip
S13 = Source("Sutskever et al.", 2013, "On the importance of initialization and momentum in deep "
             "learning")  # fmt: skip
G17 = Source("Goyal et al.", 2017, "Accurate, Large Minibatch SGD: Training ImageNet in 1 Hour",
             "1706.02677")  # fmt: skip
LH17 = Source("Loshchilov & Hutter", 2017, "SGDR: Stochastic Gradient Descent with Warm Restarts",
              "1608.03983")  # fmt: skip
V17 = Source("Vaswani et al.", 2017, "Attention Is All You Need", "1706.03762")
OG25 = Source("Orvieto & Gower", 2025, "In Search of Adam's Secret Sauce", "2505.21829")
C19 = Source("Choi et al.", 2019, "On Empirical Comparisons of Optimizers for Deep Learning",
             "1910.05446")  # fmt: skip
KHB19 = Source("Kunstner, Balles & Hennig", 2019, "Limitations of the Empirical Fisher Approximation "
               "for Natural Gradient Descent", "1905.12558")  # fmt: skip
D16 = Source("Dozat", 2016, "Incorporating Nesterov Momentum into Adam")
P64 = Source("Polyak", 1964, "Some methods of speeding up the convergence of iteration methods")
H02 = Source("Higham", 2002, "Accuracy and Stability of Numerical Algorithms, 2nd edition")
FOLKLORE = Source("folklore", None, "stated in many courses and blog posts")
HERE = Source("adamproof", None, "the true statement beside a refuted one")
