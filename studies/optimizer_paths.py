"""Four optimizers on their way down a long valley (after Saito, 2016, figures 6-3 to 6-8).

The valley is f(x, y) = x²/20 + y², the start (−7, 2), and each optimizer takes 30 steps. The script
also minimizes Andrew Ng's (w − 5)² with 1,000 steps of gradient descent.

    python studies/optimizer_paths.py --save plots
"""

import argparse
from collections.abc import Callable

import numpy as np

from hpsearch.errors import HpsearchError
from hpsearch.figures.illustrations import draw_paths
from hpsearch.tracking.artifacts import publish
from hpsearch.tracking.store import TrackingStore
from model.layers import Array
from model.optimizers import SGD, AdaGrad, Adam, Momentum, Optimizer

STEPS, START = 30, (-7.0, 2.0)
MAKERS: dict[str, tuple[Callable[[Array], Optimizer], float]] = {
    "SGD": (SGD, 0.95),
    "Momentum": (lambda params: Momentum(params, momentum=0.9), 0.1),
    "AdaGrad": (AdaGrad, 1.5),
    "Adam": (lambda params: Adam(params, beta1=0.9, beta2=0.999), 0.3),
}


def valley(x: Array, y: Array) -> Array:
    """Return f(x, y) = x²/20 + y²."""
    return x**2 / 20 + y**2


def slope(point: Array) -> Array:
    """Return the gradient of the valley at (x, y)."""
    return point * np.array([0.1, 2.0], np.float64)


def path(name: str) -> list[tuple[float, float]]:
    """Return the points on an optimizer's path, including the start."""
    make, learning_rate = MAKERS[name]
    point = np.array(START)
    optimizer, points = make(point), [START]
    for _ in range(STEPS):
        optimizer.step(point, slope(point), learning_rate)
        points.append((float(point[0]), float(point[1])))
    return points


def descend(steps: int = 1000, learning_rate: float = 0.01) -> float:
    """Return the w that SGD reaches on (w − 5)², starting from 0."""
    w = np.zeros(1)
    optimizer = SGD(w)
    for _ in range(steps):
        optimizer.step(w, 2 * (w - 5), learning_rate)
    return float(w[0])


def main() -> None:
    """Compute the paths, draw them, and print where they end."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--save", metavar="DIR", help="save the figure in DIR, as a PNG file")
    parser.add_argument("--force", action="store_true", help="overwrite an existing file")
    parser.add_argument("--tracking-uri", metavar="URI", help="URI of MLflow's tracking store")
    parser.add_argument("--no-tracking", action="store_true", help="do not use MLflow")
    given = parser.parse_args()

    paths = {name: path(name) for name in MAKERS}
    titles = {f"{name}, learning rate {rate:g}": paths[name] for name, (_, rate) in MAKERS.items()}
    levels = [0.1, 0.5, 1, 2, 4, 7, 12, 20, 35, 60, 90]
    figure = draw_paths(titles, valley, title="x²/20 + y², 30 steps", levels=levels)
    store = None if given.no_tracking else TrackingStore(given.tracking_uri)
    try:
        publish(
            {"optimizer_paths": figure},
            "optimizer_paths",
            save=given.save,
            force=given.force,
            store=store,
        )
    except HpsearchError as error:
        parser.exit(1, f"Error: {error.for_command_line}\n")
    for name, points in paths.items():
        x, y = points[-1]
        print(f"{name:8}  from (-7, 2) to ({x:.4f}, {y:.4f}) in {STEPS} steps")
    print(f"(w - 5)²  from 0 to {descend():.6f} in 1,000 steps of 0.01")


if __name__ == "__main__":
    main()
