from math import inf, nan

import numpy as np
import pytest

from model.config import TrainConfig
from model.schedules import SCHEDULES
from model.training import build_schedule

every_schedule = pytest.mark.parametrize("name", SCHEDULES)
OPTIONS = {"epochs": 9, "learning_rate": 0.1, "final_learning_rate": 0.001, "step_epochs": 3}
START_TO_FINAL = ["linear", "exponential", "cosine"]

# From 0.1 to 0.001 in 9 epochs; a step of ½ every 3 epochs.
ORACLES = {
    "constant": np.full(9, 0.1),
    "step": np.repeat([0.1, 0.05, 0.025], 3),
    "linear": np.linspace(0.1, 0.001, 9),
    "exponential": np.geomspace(0.1, 0.001, 9),
    "cosine": 0.001 + 0.099 * np.cos(np.linspace(0, np.pi / 2, 9)) ** 2,  # (1 + cos 2a)/2 = cos² a
    "plateau": np.full(9, 0.1),  # for falling losses
}


def rates(val_losses, **options):
    """Return the learning rate of each epoch, given the validation loss of each."""
    schedule = build_schedule(TrainConfig(**{**OPTIONS, **options}))
    return [schedule(number + 1, val_losses[:number]) for number in range(len(val_losses))]


@every_schedule
def test_follows_its_formula(name):
    falling = [1 / epoch for epoch in range(1, 10)]
    np.testing.assert_allclose(rates(falling, schedule=name), ORACLES[name], rtol=1e-12)


@every_schedule
def test_starts_at_the_learning_rate_exactly(name):
    for epochs in (1, 2, 100):
        schedule = build_schedule(TrainConfig(schedule=name, learning_rate=0.3, epochs=epochs))
        assert schedule(1, []) == 0.3


@pytest.mark.parametrize("name", START_TO_FINAL)
@pytest.mark.parametrize("final", [1e-12, 0.05, 5.0])
def test_ends_at_the_final_learning_rate(name, final):
    found = rates([0.0] * 9, schedule=name, final_learning_rate=final)
    assert found[-1] == pytest.approx(final, rel=1e-12)
    assert found == sorted(found, reverse=final < 0.1)


@every_schedule
def test_only_plateau_reads_the_losses(name):
    rising, falling = [1.0, 2, 3, 4, 5, 6, 7, 8, 9], [9.0, 8, 7, 6, 5, 4, 3, 2, 1]
    same = rates(rising, schedule=name) == rates(falling, schedule=name)
    assert same == (name != "plateau")


@pytest.mark.parametrize(
    ("val_losses", "expected"),
    [
        # epochs 3 and 4 are no better than epoch 2, so epoch 5 is slower; then 5 and 6 again
        ([3.0, 1, 1, 2, 1, 1.5, 0.5, 0.5], [8, 8, 8, 8, 4, 4, 2, 2]),
        ([3.0, 2, 2.5, 1, 1.5, 0.5, 9, 9], [8] * 8),
        ([nan, inf, 1, nan, nan, 0.5], [8, 8, 4, 4, 4, 2]),
    ],
)
def test_plateau_by_hand(val_losses, expected):
    options = {"learning_rate": 8, "plateau_patience": 2, "plateau_factor": 0.5}
    assert rates(val_losses, schedule="plateau", **options) == expected


def torch_rates(scheduler_of, val_losses, epochs):
    torch = pytest.importorskip("torch")
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1)
    scheduler = scheduler_of(torch.optim.lr_scheduler, optimizer)
    found = []
    for epoch in range(epochs):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step(*([val_losses[epoch]] if val_losses is not None else []))
    return found


@pytest.mark.parametrize(
    ("name", "scheduler"),
    [
        ("constant", lambda s, o: s.LambdaLR(o, lambda _: 1)),
        ("step", lambda s, o: s.StepLR(o, step_size=30, gamma=0.5)),
        ("linear", lambda s, o: s.LinearLR(o, 1.0, end_factor=0.01, total_iters=199)),
        ("exponential", lambda s, o: s.ExponentialLR(o, 0.01 ** (1 / 199))),
        ("cosine", lambda s, o: s.CosineAnnealingLR(o, T_max=199, eta_min=0.001)),
    ],
)
def test_agrees_with_torch(name, scheduler):
    options = {"epochs": 200, "step_epochs": 30, "step_factor": 0.5}
    expected = torch_rates(scheduler, None, 200)
    np.testing.assert_allclose(rates([0.0] * 200, schedule=name, **options), expected, atol=1e-5)


@pytest.mark.parametrize("patience", [1, 2, 7])
def test_plateau_agrees_with_torch(patience):
    val_losses = list(1 / np.arange(1, 201) + np.random.default_rng(0).uniform(0, 0.5, 200))
    expected = torch_rates(
        # PyTorch's patience is the number of epochs that are forgiven: one less.
        lambda s, o: s.ReduceLROnPlateau(o, factor=0.8, patience=patience - 1, threshold=0, eps=0),
        val_losses,
        200,
    )
    found = rates(val_losses, schedule="plateau", plateau_patience=patience, plateau_factor=0.8)
    np.testing.assert_allclose(found, expected, rtol=1e-5)
