"""What a trial needs, and how many trials that leaves room for."""

import os
from pathlib import Path

import psutil
import pytest

from hpsearch.errors import SettingsError
from hpsearch.execution.coordinator import RunOptions
from hpsearch.execution.engines.dask import DaskEngine
from hpsearch.execution.engines.engine import build_engine
from hpsearch.execution.engines.inline import InlineEngine
from hpsearch.execution.engines.processes import ProcessEngine
from hpsearch.execution.resources import device_groups, fits, most_at_a_time, needs_of
from hpsearch.search.study import run_study
from hpsearch.settings.model import ModelSettings
from hpsearch.settings.study import parse_settings
from hpsearch.trials.records import curves_of, own_trials

CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
MEMORY = psutil.virtual_memory().total


def model_with(**resources):
    return ModelSettings(train="net.py:train", resources=resources)


def test_sizes_may_be_written_as_people_do():
    needs = needs_of(model_with(cpu=2, memory="4G"))
    assert needs == {"cpu": 2, "memory": 4 * 10**9}
    assert needs_of(model_with(memory=1000)) == {"memory": 1000}
    assert needs_of(None) == needs_of(ModelSettings(train="net.py:train")) == {}


def test_never_more_trials_at_a_time_than_fit(caplog):
    assert most_at_a_time({"cpu": 1}, ()) == CORES
    assert most_at_a_time({"memory": MEMORY // 3}, ()) == 3
    assert most_at_a_time({"cpu": 1, "memory": MEMORY}, ()) == 1
    assert most_at_a_time({}, ()) is None
    assert most_at_a_time({}, ("0", "1")) == 2
    assert most_at_a_time({"gpu": 2}, ("0", "1", "2", "3", "4")) == 2
    options = RunOptions(storage="unused", jobs=CORES + 3)
    assert build_engine(options, model_with(cpu=1)).jobs == CORES
    assert f"{CORES} trials fit this machine at a time, and not {CORES + 3}" in caplog.text
    assert isinstance(build_engine(options, model_with(cpu=CORES)), InlineEngine)


def test_each_worker_has_devices_of_its_own():
    assert device_groups({}, ("0", "3")) == ["0", "3"]
    assert device_groups({"gpu": 2}, ("0", "1", "2", "3", "4")) == ["0,1", "2,3"]
    engine = build_engine(RunOptions(storage="unused", gpus=("1",)), model_with(gpu=1))
    assert isinstance(engine, ProcessEngine)
    assert (engine.jobs, engine.devices) == (1, ["1"])


def test_a_worker_of_a_cluster_must_offer_as_much():
    assert fits({"gpu": 1}, {"gpu": 1, "cpu": 4})
    assert not fits({"gpu": 1}, {})
    assert fits({}, {})
    engine = build_engine(RunOptions(storage="unused", cluster="tcp://x:1"), model_with(gpu=1))
    assert isinstance(engine, DaskEngine)
    assert engine.needs == {"gpu": 1}


@pytest.mark.parametrize(
    ("resources", "sentence"),
    [
        ({"cpu": 10**6}, "a trial needs cpu = 1e+06, and this machine has "),
        ({"memory": "9999T"}, "a trial needs memory = 9.999e+15, and this machine has "),
        ({"gpu": 1}, r"a trial needs gpu = 1; name the devices with gpus=\('0',\)"),
    ],
)
def test_a_trial_that_does_not_fit_is_one_sentence(resources, sentence):
    with pytest.raises(SettingsError, match=f"^model.resources: {sentence}".replace("+", r"\+")):
        build_engine(RunOptions(storage="unused"), model_with(**resources))


@pytest.mark.parametrize(
    ("resources", "sentence"),
    [
        ({"cpu": 0}, "model.resources.cpu: must be at least 1, but got 0"),
        (
            {"memory": "much"},
            "model.resources.memory: must be a size such as \"4G\", but got 'much'",
        ),
        ({"tpu": 1}, r"model.resources.tpu: 'tpu' is not a key here; did .*\(cpu, gpu, memory\)"),
    ],
)
def test_wrong_resources_are_one_sentence(resources, sentence):
    table = {"name": "x", "model": {"train": "net.py:train", "resources": resources}}
    with pytest.raises(SettingsError, match=sentence):
        parse_settings(table | {"search": {"metric": "val/loss"}, "trial": {"epochs": 1}}, "x")


def test_devices_are_of_this_machine():
    with pytest.raises(SettingsError, match="gpus: are those of this machine"):
        RunOptions(storage="unused", gpus=("0",), cluster="tcp://x:1")


def test_trials_see_the_device_of_their_worker(working_folder: Path):
    (working_folder / "net.py").write_text(
        "import os, time\n"
        "def train(config):\n"
        "    time.sleep(0.5)\n"
        "    return {'val/loss': float(os.environ['CUDA_VISIBLE_DEVICES'])}\n"
    )
    settings = parse_settings(
        {
            "name": "gpu",
            "model": {"train": "net.py:train", "resources": {"gpu": 1}},
            "search": {"metric": "val/loss", "trials": 6, "sampler": "random"},
            "trial": {"rate": {"low": 0.1, "high": 1.0}},
        },
        "gpu",
    )
    assert "resources = {" in settings.to_toml() or "[model.resources]" in settings.to_toml()
    outcome = run_study(settings, storage="g.journal", jobs=2, gpus=("3", "7"))
    seen = {curves_of(trial).of("val/loss")[0] for trial in own_trials(outcome.study)}
    assert seen == {3.0, 7.0}
