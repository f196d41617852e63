"""Comparisons of studies: targets, repetitions, notes and refusals."""

from datetime import datetime, timedelta

import optuna
import pytest
from optuna.trial import TrialState, create_trial

from hpsearch.analysis.comparison import compare, open_searches
from hpsearch.errors import StudyError
from hpsearch.search.rounds import run_rounds
from hpsearch.settings.definition import definition
from hpsearch.storage.open import open_storage

MORNING = datetime(2026, 1, 1, 8)
DIGEST = "0123456789abcdef"


@pytest.fixture
def made(make_settings):
    """A function that makes a study of successive trials of one epoch and one second each."""

    def make(name, *accuracies, digest=DIGEST, **tables):
        settings = make_settings(**tables)
        study = optuna.create_study(study_name=name, direction=settings.search.direction)
        study.set_user_attr("definition", definition(settings, digest))
        study.set_user_attr("settings", settings.to_toml())
        study.add_trials(trial(second, value) for second, value in enumerate(accuracies))
        return [study]

    return make


def trial(second, accuracy):
    curves = {"val/accuracy": [accuracy], "val/loss": [1 - accuracy]}
    made = create_trial(state=TrialState.COMPLETE, value=accuracy, user_attrs={"curves": curves})
    made.datetime_start = MORNING + timedelta(seconds=second)
    made.datetime_complete = MORNING + timedelta(seconds=second + 1)
    return made


def test_the_default_target_is_the_best_value_that_all_reached(made):
    slow, fast = made("slow", 0.1, 0.7, 0.8), made("fast", 0.8, 0.9, trial={"epochs": 2})
    compared = compare([slow, fast])
    assert compared.target == 0.8
    assert [group.epochs_until(compared.target) for group in compared.groups] == [(3, 0), (1, 0)]
    assert [group.epochs_until(0.9) for group in compared.groups] == [(None, 1), (2, 0)]
    record = compare([slow, fast], target=0.9).as_record()
    assert [group["studies"][0]["epochs_to_target"] for group in record["groups"]] == [None, 2]
    (entry,) = record["groups"][1]["studies"]
    assert (entry["trials"], entry["epochs"], entry["seconds"], entry["best"]) == (2, 2, 2.0, 0.9)
    assert entry["improvements"][1] == {"epochs": 2, "seconds": 2.0, "value": 0.9}


def test_the_default_target_of_losses_is_the_highest_of_their_bests(made):
    loss = {"search": {"metric": "val/loss"}}
    low, high = made("low", 0.9, **loss), made("high", 0.5, trial={"epochs": 2}, **loss)
    assert compare([low, high]).target == 0.5


def test_studies_that_differ_only_in_their_seeds_are_one_group(made):
    seeds = [
        made(f"tpe-{n}", *values, search={"seed": n, "sampler": "tpe"}, data={"split_seed": n})
        for n, values in enumerate([[0.1, 0.5], [0.2, 0.3, 0.9], [0.3]])
    ]
    other = made("random", 0.4)
    compared = compare([*seeds, other])
    assert [group.label for group in compared.groups] == ["tpe-0 (median of 3)", "random"]
    group, _ = compared.groups
    assert group.epochs_until(0.3) == (2, 0)  # of 2, 2 and 1
    assert group.epochs_until(0.5) == (3, 1)  # of 2, 3 and never
    assert group.epochs_until(0.9) == (None, 2)
    band = group.band("epochs")
    assert band.x.tolist() == [1, 2, 3]
    assert band.median.tolist() == [0.2, 0.3, 0.5]
    assert (band.low.tolist(), band.high.tolist()) == ([0.1, 0.3, 0.3], [0.3, 0.5, 0.9])
    assert group.band("seconds").median.tolist() == [0.2, 0.3, 0.5]
    apart = compare([*seeds, other], each=True)
    assert [group.label for group in apart.groups] == ["tpe-0", "tpe-1", "tpe-2", "random"]


def test_a_repetition_may_be_unfinished(made):
    whole, begun = made("whole", 0.5, 0.6, 0.7, 0.8), made("begun", 0.4, search={"seed": 1})
    (group,) = compare([whole, begun]).groups
    assert [history.trials for history in group.histories] == [4, 1]


@pytest.mark.parametrize(
    "tables",
    [
        {"search": {"sampler": "tpe"}},
        {"search": {"pruner": "median"}},
        {"search": {"sampler": "random", "pruner": "median", "pruner_options": {}}},
        {"trial": {"epochs": 9}},
        {"data": {"limit": 100}},
        {"search": {"trials": 12}},
        {"search": {"patience": 3}},
        {"search": {"timeout": 60.0}},
        {"search": {"target": 0.9}},
    ],
)
def test_studies_with_any_other_difference_are_not_repetitions(made, tables):
    assert len(compare([made("a", 0.5), made("b", 0.5, **tables)]).groups) == 2


def test_notes_describe_differences_in_data_space_and_budget(made):
    first, same = made("first", 0.5), made("same", 0.5, search={"sampler": "tpe"})
    assert compare([first, same]).notes == []
    others = [
        made("data", 0.5, digest="f" * 16),
        made("space", 0.5, trial={"epochs": 9}),
        made("split", 0.5, data={"split_seed": 3}, search={"sampler": "tpe"}),
        made("budget", 0.5, search={"trials": 999_999, "timeout": 90.0}),
    ]
    assert compare([first, *others]).notes == [
        "from first to data: other data (digest 01234567, now ffffffff)",
        "from first to space: trial.epochs 3, now 9",
        "from first to split: data.split_seed 0, now 3",
        "from first to budget: search.timeout not set, now 90; search.trials 4, now 999999",
    ]


def test_studies_that_cannot_be_compared_are_refused(made):
    theirs = [optuna.create_study(study_name="theirs")]
    for searches, sentence in (
        (
            [made("a", 0.5), made("b", 0.5, search={"metric": "val/loss"})],
            "study 'b' has the metric val/loss and study 'a' has val/accuracy; compare",
        ),
        ([made("a", 0.5), theirs], "study 'theirs' was not started by hpsearch"),
        ([theirs, made("a", 0.5)], "study 'theirs' was not started by hpsearch"),
        ([made("a", 0.5), made("new")], "study 'new' has no finished epoch yet, so there is"),
    ):
        with pytest.raises(StudyError, match=sentence):
            compare(searches)


def test_each_round_counts_once_with_its_study(make_settings, tmp_path):
    storage = str(tmp_path / "j")
    for seed in (0, 1):
        settings = make_settings(search={"seed": seed})
        run_rounds(settings, 2, name=f"two-{seed}", storage=storage)
    run_rounds(make_settings(), 1, name="one", storage=storage)
    store = open_storage(storage)
    searches = open_searches(store, ["two-0", "two-0.r2", "two-1.r2", "one", "one"])
    names = [[study.study_name for study in rounds] for rounds in searches]
    assert names == [["two-0", "two-0.r2"], ["two-1", "two-1.r2"], ["one"]]
    compared = compare(searches)
    two, one = compared.groups
    assert compared.notes == ["from two-0 to one: search.trials 8, now 4"]
    assert [history.trials for history in two.histories] == [8, 8]
    assert [history.spent for history in two.histories] == [24, 24]
    assert one.histories[0].trials == 4
