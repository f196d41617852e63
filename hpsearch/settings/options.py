"""What a study file and the command line accept, known without importing optuna."""

from typing import Literal

Metric = Literal["val/accuracy", "val/loss"]
SamplerName = Literal["random", "tpe", "gp", "qmc", "grid"]
PrunerName = Literal["none", "median", "halving", "hyperband"]

REPEATING: tuple[SamplerName, ...] = ("grid", "random")  # take [search] seeds
MARGIN = 0.1  # what narrowing keeps beside the best values, as a share of the old width
