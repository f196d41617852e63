"""The names a study file and the command line accept, known without importing optuna."""

from typing import Literal

Metric = Literal["val/accuracy", "val/loss"]
SamplerName = Literal["random", "tpe", "gp", "qmc", "grid"]
PrunerName = Literal["none", "median", "halving", "hyperband"]
