"""How initial weights carry a signal through five layers (after Saito, 2016, figures 6-10 to 6-14).

1,000 rows of 100 normal inputs pass through five layers of 100 units, with each activation function
and each way to draw the weights. For ReLU with a deviation of 0.01 the text gives the mean of each
layer's activations; it is printed beside the median over several seeds.

    python studies/activation_histograms.py --save plots
"""

import argparse
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hpsearch.errors import HpsearchError
from hpsearch.figures.illustrations import draw_histograms
from hpsearch.tracking.artifacts import publish
from hpsearch.tracking.store import TrackingStore
from model import Network, TrainConfig
from model.diagnostics import Histogram
from model.layers import Array

ROWS, UNITS, LAYERS = 1000, 100, 5
ONE: dict[str, Any] = {"initializer": "normal", "weight_std": 1.0}
SMALL: dict[str, Any] = {"initializer": "normal", "weight_std": 0.01}
XAVIER: dict[str, Any] = {"initializer": "xavier"}
HE: dict[str, Any] = {"initializer": "he"}
SETTINGS: dict[str, dict[str, dict[str, Any]]] = {
    "sigmoid": {"std 1": ONE, "std 0.01": SMALL, "Xavier": XAVIER},
    "tanh": {"std 1": ONE, "std 0.01": SMALL, "Xavier": XAVIER},
    "relu": {"std 0.01": SMALL, "Xavier": XAVIER, "He": HE},
}
TEXT = (0.0396, 0.00290, 0.000197, 1.32e-5, 9.46e-7)  # ReLU with a deviation of 0.01


def activations(activation: str, weights: dict[str, Any], seed: int) -> list[Array]:
    """Return the output (1,000, 100) of each layer."""
    rng = np.random.default_rng(seed)
    config = TrainConfig(hidden_layer_sizes=(UNITS,) * LAYERS, activation=activation, **weights)
    network = Network(UNITS, 2, config, rng, dtype=np.float64)
    return network.activations(rng.standard_normal((ROWS, UNITS)))


def median_means(seed: int, seeds: int) -> NDArray[np.float64]:
    """Return each layer's mean for ReLU and deviation 0.01, as the median over `seeds` seeds."""
    runs = [activations("relu", SMALL, seed + number) for number in range(seeds)]
    means = [[layer.mean() for layer in layers] for layers in runs]
    return np.asarray(np.median(means, axis=0))


def main() -> None:
    """Draw the histograms, and compare the means with the text's."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument(
        "--seed", type=int, default=0, help="seed of the figures, and first seed of the medians"
    )
    parser.add_argument("--seeds", type=int, default=100, help="number of seeds for the medians")
    parser.add_argument("--save", metavar="DIR", help="save the figures in DIR, as PNG files")
    parser.add_argument("--force", action="store_true", help="overwrite existing files")
    parser.add_argument("--tracking-uri", metavar="URI", help="URI of MLflow's tracking store")
    parser.add_argument("--no-tracking", action="store_true", help="do not use MLflow")
    given = parser.parse_args()

    figures = {}
    for activation, settings in SETTINGS.items():
        drawn = {
            name: activations(activation, weights, given.seed) for name, weights in settings.items()
        }
        rows = {name: [Histogram.of(layer) for layer in layers] for name, layers in drawn.items()}
        figures[f"activations_{activation}"] = draw_histograms(rows, title=activation)
    store = None if given.no_tracking else TrackingStore(given.tracking_uri)
    try:
        publish(figures, "activation_histograms", save=given.save, force=given.force, store=store)
    except HpsearchError as error:
        parser.exit(1, f"Error: {error.for_command_line}\n")
    print(f"ReLU, std 0.01: mean activation by layer, the median of {given.seeds} seeds")
    for number, (mean, text) in enumerate(
        zip(median_means(given.seed, given.seeds), TEXT, strict=True), start=1
    ):
        print(f"layer {number}  {mean:.3g}  text {text:.3g}  ratio {mean / text:.3f}")


if __name__ == "__main__":
    main()
