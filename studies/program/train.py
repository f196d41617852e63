"""A program that trains: JSON on stdin, one line of JSON an epoch on stdout."""

import json
import sys

config = json.load(sys.stdin)
weight = 5.0
for _ in range(config["epochs"]):
    weight -= config["rate"] * 2 * weight  # gradient descent on weight²
    print(json.dumps({"val/loss": weight**2}), flush=True)
