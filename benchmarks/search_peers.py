"""Other packages that search with several fidelities, on the objective of search_quality.py.

    pip install DEHB smac 'setuptools<81' 'syne-tune==0.13.0' statsmodels
    pip install --no-deps hpbandster

They need NumPy 1, so they have a virtual environment of their own. Each searches the same space,
with its own defaults and a reduction factor of 3, for 1 to all epochs of a trial. A configuration
that a peer trains further goes on from where it was, which BOHB, DEHB and SMAC3 leave to their
users: without that, they would spend more epochs. Libraries are imported where they are used.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from importlib.util import find_spec
from math import ceil, floor, isfinite, log
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from optuna.trial import FixedTrial

from hpsearch.analysis.history import History, Improvement
from hpsearch.execution.objective import load_network
from hpsearch.settings.study import StudySettings
from hpsearch.space.ranges import Choices, Searched

FACTOR = 3
PACKAGES = {"BOHB": "hpbandster", "DEHB": "dehb", "SMAC3": "smac", "MOBSTER": "syne_tune"}


class SpentError(Exception):
    """The search has no epoch left."""


class Training:
    """A configuration that trains epoch by epoch, and goes on where it stopped."""

    def __init__(self, objective: Objective, config: Any, number: int) -> None:
        self.objective, self.values, self.ended = objective, list[float](), False
        _, self._epochs = objective.model.start_training(config, number)

    @property
    def done(self) -> bool:
        """Whether it has trained all its epochs, or diverged."""
        return self.ended or len(self.values) >= self.objective.epochs

    def step(self) -> None:
        """Train an epoch more; raise SpentError if the search has none left."""
        if self.objective.spent >= self.objective.budget:
            raise SpentError
        epoch = next(self._epochs)
        self.ended = not (isfinite(epoch.val_loss) and isfinite(epoch.train_loss))
        value = 0.0 if self.ended else float(epoch.val_accuracy)
        self.values.append(value)
        self.objective.note(value)

    def best_of(self, epochs: int) -> float:
        """Train until there are `epochs` epochs, if there are as many; return their best value."""
        while not self.done and len(self.values) < epochs:
            self.step()
        return max(self.values[:epochs])


class Objective:
    """What a peer searches, within a budget of epochs.

    Parameters have the names and the scales that hpsearch gives to Optuna.
    """

    def __init__(self, settings: StudySettings, budget: int) -> None:
        self.settings, self.budget, self.seed = settings, budget, settings.search.seed
        self.model, self.epochs = load_network(settings), settings.max_epochs
        self.spent, self.improvements = 0, list[Improvement]()
        self.trainings: dict[tuple[tuple[str, Any], ...], Training] = {}

    @property
    def parameters(self) -> Iterator[tuple[str, Searched]]:
        """The name of each parameter and what is declared for it."""
        for key, entry in self.settings.trial.searched.items():
            yield entry.parameter(key), entry

    def begin(self, params: Mapping[str, Any]) -> Training:
        """Return the training of a configuration: a new one, or the one it has already."""
        plain = {name: _plain(params[name], entry) for name, entry in self.parameters}
        key = tuple(plain.items())
        if key not in self.trainings:
            config = self.settings.trial.suggest(FixedTrial(plain))
            self.trainings[key] = Training(self, config, len(self.trainings))
        return self.trainings[key]

    def value(self, params: Mapping[str, Any], epochs: float) -> float:
        """Return the best value that a configuration has within its first `epochs`."""
        return self.begin(params).best_of(round(epochs))

    def note(self, value: float) -> None:
        """Count an epoch, whose value may be the best so far."""
        self.spent += 1
        if not self.improvements or value > self.improvements[-1].value:
            self.improvements.append(Improvement(self.spent, 0.0, value))

    def history(self) -> History:
        """Return the history of the search."""
        return History(self.improvements, self.spent, trials=len(self.trainings))

    def first_whole(self) -> int | None:
        """Return the number of the first configuration that trained to its end, from 1."""
        lengths = [len(training.values) for training in self.trainings.values()]
        return next((n for n, length in enumerate(lengths, 1) if length >= self.epochs), None)


def _plain(value: Any, entry: Searched) -> Any:
    """Return a number or choice of a peer as Optuna has it; numbers may lie outside by rounding."""
    if isinstance(entry, Choices):
        return next(each for each in entry.values if str(each) == str(value))
    low, high, _ = _bounds(entry)
    kind = int if isinstance(low, int) else float
    return min(max(kind(round(value) if kind is int else value), low), high)


def _bounds(entry: Any) -> tuple[Any, Any, bool]:
    """Return the ends of a range as Optuna samples it, and whether its scale is logarithmic."""
    ends = sorted((entry.to_optuna(entry.low), entry.to_optuna(entry.high)))
    return ends[0], ends[1], bool(entry.log)


def _config_space(objective: Objective) -> Any:
    from ConfigSpace import Categorical, ConfigurationSpace, Float, Integer

    space = ConfigurationSpace(seed=objective.seed)
    for name, entry in objective.parameters:
        if isinstance(entry, Choices):
            space.add(Categorical(name, [str(value) for value in entry.values]))
            continue
        low, high, logarithmic = _bounds(entry)
        kind = Integer if isinstance(low, int) else Float
        space.add(kind(name, (low, high), log=logarithmic))
    return space


def bohb(objective: Objective, folder: Path) -> None:  # noqa: ARG001
    """HpBandSter's generator of configurations (Falkner et al., 2018), in its own brackets."""
    from hpbandster.core.dispatcher import Job
    from hpbandster.optimizers.config_generators.bohb import BOHB

    np.random.seed(objective.seed)  # which HpBandSter draws from
    generator, most = BOHB(_config_space(objective)), floor(log(objective.epochs, FACTOR) + 1e-9)
    budgets = [max(1, round(objective.epochs / FACTOR**n)) for n in range(most, -1, -1)]
    round_ = 0
    while True:
        rungs = most - round_ % (most + 1)
        number = ceil((most + 1) / (rungs + 1)) * FACTOR**rungs
        configs: list[Any] = []
        for place, budget in enumerate(budgets[most - rungs :]):
            found = []
            for n in range(len(configs) if place else number):
                config = configs[n] if place else generator.get_config(budget)[0]
                value = objective.value(config, budget)
                job = Job((round_, place, n), config=config, budget=budget)
                job.result, job.exception = {"loss": 1 - value}, None
                generator.new_result(job)
                found.append((-value, n, config))
            configs = [config for *_, config in sorted(found, key=lambda each: each[:2])]
            configs = configs[: max(1, len(found) // FACTOR)]
        round_ += 1


def dehb(objective: Objective, folder: Path) -> None:
    """DEHB (Awad et al., 2021), asked and told."""
    from dehb import DEHB
    from loguru import logger

    logger.remove()
    search = DEHB(
        f=lambda *_, **__: None,
        cs=_config_space(objective),
        min_fidelity=1,
        max_fidelity=objective.epochs,
        eta=FACTOR,
        n_workers=1,
        seed=objective.seed,
        output_path=str(folder),
        log_level="ERROR",
    )
    while True:
        job = search.ask()
        value = objective.value(dict(job["config"]), job["fidelity"])
        search.tell(job, {"fitness": 1 - value, "cost": job["fidelity"]})


def smac(objective: Objective, folder: Path) -> None:
    """SMAC3's facade for several fidelities (Lindauer et al., 2022), asked and told."""
    from smac import MultiFidelityFacade, Scenario
    from smac.runhistory import TrialValue

    scenario = Scenario(
        _config_space(objective),
        n_trials=100 * objective.budget,
        min_budget=1,
        max_budget=objective.epochs,
        output_directory=folder,
        seed=objective.seed,
        deterministic=True,
    )

    def target(config: Any, seed: int = 0, budget: float = 0.0) -> float:  # noqa: ARG001
        return 1 - objective.value(dict(config), budget)

    design = MultiFidelityFacade.get_initial_design(scenario, n_configs=10)
    search = MultiFidelityFacade(
        scenario, target, initial_design=design, overwrite=True, logging_level=False
    )
    while True:  # its own loop would take SpentError for a failed configuration
        asked = search.ask()
        search.tell(asked, TrialValue(cost=target(asked.config, budget=asked.budget)))


def mobster(objective: Objective, folder: Path) -> None:  # noqa: ARG001
    """Syne Tune's MOBSTER (Klein et al., 2020), of the promotion type."""
    from syne_tune.backend.trial_status import Trial
    from syne_tune.config_space import choice, lograndint, loguniform, randint, uniform
    from syne_tune.optimizer.baselines import MOBSTER
    from syne_tune.optimizer.scheduler import SchedulerDecision

    space: dict[str, Any] = {"epochs": objective.epochs}
    for name, entry in objective.parameters:
        if isinstance(entry, Choices):
            space[name] = choice([str(value) for value in entry.values])
            continue
        low, high, logarithmic = _bounds(entry)
        numbers, whole = (loguniform, lograndint) if logarithmic else (uniform, randint)
        space[name] = (whole if isinstance(low, int) else numbers)(low, high)
    scheduler = MOBSTER(
        space,
        metric="accuracy",
        mode="max",
        type="promotion",
        resource_attr="epoch",
        max_resource_attr="epochs",
        grace_period=1,
        reduction_factor=FACTOR,
        random_seed=objective.seed + 1,
        search_options={"debug_log": False},
    )
    trials = list[tuple[Any, Training]]()
    while True:
        asked = scheduler.suggest(len(trials))
        if asked.spawn_new_trial_id:
            made = Trial(len(trials), asked.config, datetime.now())
            trials.append((made, objective.begin(asked.config)))
            scheduler.on_trial_add(made)
        else:
            made = trials[asked.checkpoint_trial_id][0]
            made.config.update(asked.config or {})
        trial, training = trials[made.trial_id]
        while not training.done:
            training.step()
            result = {"accuracy": max(training.values), "epoch": len(training.values)}
            decision = scheduler.on_trial_result(trial, result)
            if training.done:
                scheduler.on_trial_complete(trial, result)
            elif decision != SchedulerDecision.CONTINUE:
                scheduler.on_trial_remove(trial)
                break


SEARCHES: dict[str, Callable[[Objective, Path], None]] = {
    "BOHB": bohb,
    "DEHB": dehb,
    "SMAC3": smac,
    "MOBSTER": mobster,
}


@dataclass(frozen=True)
class Peer:
    """Another package, which searches in place of hpsearch."""

    name: str

    @property
    def available(self) -> bool:
        """Whether its package is installed."""
        return find_spec(PACKAGES[self.name]) is not None

    def search(self, settings: StudySettings, budget: int) -> tuple[History, int | None]:
        """Search until the epochs are spent; return the history and the first whole trial."""
        logging.disable(logging.CRITICAL)  # they log each proposal
        objective = Objective(settings, budget)
        with warnings.catch_warnings(), TemporaryDirectory() as folder:
            warnings.simplefilter("ignore")
            try:
                SEARCHES[self.name](objective, Path(folder))
            except SpentError:
                pass
            finally:
                logging.disable(logging.NOTSET)
        return objective.history(), objective.first_whole()


PEERS = {name: Peer(name) for name in SEARCHES}
