"""The papers that the claims are taken from."""

from .records import Source

KB15 = Source("Kingma & Ba", 2015, "Adam: A Method for Stochastic Optimization", "1412.6980v9")
LH19 = Source("Loshchilov & Hutter", 2019, "Decoupled Weight Decay Regularization", "1711.05101v3")
RKK18 = Source("Reddi, Kale & Kumar", 2018, "On the Convergence of Adam and Beyond", "1904.09237v1")
TP19 = Source("Tran & Phong", 2019, "On the Convergence Proof of AMSGrad", "1904.03590v4")
XL24 = Source("Xie & Li", 2024, "Implicit Bias of AdamW", "2404.04454v1")
Z20 = Source("Zhuang et al.", 2020, "AdaBelief Optimizer", "2010.07468v5")
L20 = Source("Liu et al.", 2020, "On the Variance of the Adaptive Learning Rate", "1908.03265v4")
D16 = Source("Dozat", 2016, "Incorporating Nesterov Momentum into Adam", where="ICLR workshop")
DHS11 = Source("Duchi, Hazan & Singer", 2011, "Adaptive Subgradient Methods", where="JMLR 12")
TH12 = Source("Tieleman & Hinton", 2012, "RMSProp", where="Coursera, lecture 6.5")
G13 = Source("Graves", 2013, "Generating Sequences with Recurrent Neural Networks", "1308.0850v5")
P64 = Source("Polyak", 1964, "Some methods of speeding up the convergence of iteration methods")
SMDH13 = Source("Sutskever et al.", 2013, "On the importance of initialization and momentum")
Z12 = Source("Zeiler", 2012, "ADADELTA: An Adaptive Learning Rate Method", "1212.5701v1")
FOLKLORE = Source("folklore", 2015, "stated in many courses and blog posts")
HERE = Source("adamproof", 2026, "the true statement beside a refuted one")
