"""The trainings of the usual stacks in search.py: generators of epochs, like `train`.

Each yields an epoch's losses and accuracies, on training and validation rows, under hpsearch's
names. scikit-learn and PyTorch draw their own initial values.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from peers import mlp_classifier, torch_optimizer

from model import Dataset, TrainConfig

Metrics = dict[str, float]


def scikit_learn(config: TrainConfig, data: Dataset) -> Iterator[Metrics]:
    """Train with `MLPClassifier.partial_fit`, one epoch per call."""
    from sklearn.metrics import log_loss

    classifier = mlp_classifier(config)
    classes = np.arange(data.n_classes)
    for _ in range(config.epochs):
        try:
            classifier.partial_fit(data.x_train, data.y_train, classes=classes)
        except ValueError:  # the weights are no longer finite
            yield {"train/loss": float("nan"), "val/accuracy": float("nan")}
            return
        probabilities = classifier.predict_proba(data.x_val)
        yield {
            "train/loss": float(classifier.loss_),
            "train/accuracy": float(classifier.score(data.x_train, data.y_train)),
            "val/loss": float(log_loss(data.y_val, probabilities, labels=classes)),
            "val/accuracy": float(np.mean(probabilities.argmax(axis=1) == data.y_val)),
        }


def pytorch(config: TrainConfig, data: Dataset) -> Iterator[Metrics]:
    """Train with eager PyTorch, preloaded tensors and a fused optimizer."""
    import torch
    from torch import nn

    torch.set_num_threads(1)
    x, y = torch.from_numpy(data.x_train), torch.from_numpy(data.y_train)
    x_val, y_val = torch.from_numpy(data.x_val), torch.from_numpy(data.y_val)
    units = config.hidden_layer_sizes[0]
    network = nn.Sequential(
        nn.Linear(data.n_features, units), nn.ReLU(), nn.Linear(units, data.n_classes)
    )
    optimizer = torch_optimizer(config, network.parameters())
    cross_entropy = nn.CrossEntropyLoss()
    for _ in range(config.epochs):
        loss_sum, hits = torch.zeros(()), torch.zeros(())
        for index in torch.randperm(len(x)).split(config.batch_size):
            optimizer.zero_grad()
            logits = network(x[index])
            loss = cross_entropy(logits, y[index])
            loss.backward()
            optimizer.step()
            loss_sum += loss.detach() * len(index)
            hits += (logits.argmax(dim=1) == y[index]).sum()
        with torch.inference_mode():
            logits = network(x_val)
            yield {
                "train/loss": loss_sum.item() / len(x),
                "train/accuracy": hits.item() / len(x),
                "val/loss": cross_entropy(logits, y_val).item(),
                "val/accuracy": (logits.argmax(dim=1) == y_val).float().mean().item(),
            }
