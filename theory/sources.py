"""The papers that the claims are taken from."""

from .records import Source

KB15 = Source("Kingma & Ba", 2015, "Adam: A Method for Stochastic Optimization", "1412.6980v9")
LH19 = Source("Loshchilov & Hutter", 2019, "Decoupled Weight Decay Regularization", "1711.05101v3")
RKK18 = Source("Reddi, Kale & Kumar", 2018, "On the Convergence of Adam and Beyond", "1904.09237v1")
XL24 = Source("Xie & Li", 2024, "Implicit Bias of AdamW", "2404.04454")
Z20 = Source("Zhuang et al.", 2020, "AdaBelief Optimizer", "2010.07468v5")
FOLKLORE = Source("folklore", None, "stated in many courses and blog posts")
HERE = Source("adamproof", None, "the true statement beside a refuted one")
