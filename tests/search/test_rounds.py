import tomllib

import numpy as np
import optuna
import pytest
from mlflow import MlflowClient
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.trial import TrialState, create_trial

from hpsearch.analysis.ranking import searched_values
from hpsearch.errors import SettingsError, StudyError
from hpsearch.search.rounds import next_name, next_round, run_rounds
from hpsearch.search.study import run_study
from hpsearch.settings.names import check_name
from hpsearch.settings.study import load_settings, parse_settings
from hpsearch.storage.catalog import rounds_of, study_settings
from hpsearch.storage.open import open_storage
from hpsearch.tracking.tracker import Tracker

RATES = FloatDistribution(1e-4, 1.0, log=True)
DISTANCES = FloatDistribution(0.01, 0.5, log=True)
SHAPES = CategoricalDistribution(["178-46", "100", "none"])
TRIAL = {
    "epochs": 3,
    "learning_rate": {"low": 1e-4, "high": 1.0, "log": True},
    "momentum": {"low": 0.5, "high": 0.99, "log": "complement"},
    "hidden_layer_sizes": {"choices": [[178, 46], [100], []]},
}
ENQUEUE = [{"label": "mine", "learning_rate": 1.0}]


def study_of(values, name="digits-tpe", *, table=None, direction="maximize"):
    """A study as hpsearch leaves it, whose trials have these learning rates and values."""
    study = optuna.create_study(study_name=name, direction=direction)
    table = {"name": "digits", "trial": TRIAL, "enqueue": ENQUEUE} | (table or {})
    study.set_user_attr("settings", parse_settings(table, "test").to_toml())
    for slot, (rate, value) in enumerate(values):
        trial = create_trial(
            state=TrialState.PRUNED if value is None else TrialState.COMPLETE,
            value=value,
            params={
                "learning_rate": rate,
                "one_minus_momentum": 0.1,
                "hidden_layer_sizes": "178-46",
            },
            distributions={
                "learning_rate": RATES,
                "one_minus_momentum": DISTANCES,
                "hidden_layer_sizes": SHAPES,
            },
            user_attrs={"slot": slot, "setup": {"config": {"momentum": 0.9}}},
        )
        study.add_trial(trial)
    return study


def rates(study, **options):
    found = next_round(study, **options).settings.trial.searched["learning_rate"]
    return found.low, found.high


def sentence(study, **options):
    with pytest.raises(StudyError) as error:
        next_round(study, **options)
    return str(error.value)


def test_the_next_study_is_the_same_but_for_its_name_and_space():
    study = study_of([(0.001, 0.8), (0.01, 0.9), (1.0, None)])
    now = next_round(study).settings
    before = parse_settings(tomllib.loads(study.user_attrs["settings"]), "test")
    other = before.search.with_min_peers(0)  # it was stored without a number
    other = other.model_copy(update={"seed": now.search.seed})
    assert (now.name, now.data, now.search) == ("digits.r2", before.data, other)
    assert now.search.seed != before.search.seed  # or it would draw the same numbers again
    assert now.enqueue == ()
    # 4 decades, so a margin of 0.4: 0.000398..0.0251, then outwards to few digits. On the
    # complement scale 1.7 decades: a distance of 0.1 becomes 0.068..0.148.
    assert now.trial.as_table() == TRIAL | {
        "learning_rate": {"low": 0.00039, "high": 0.03, "log": True},
        "momentum": {"low": 0.85, "high": 0.933, "log": "complement"},
        "hidden_layer_sizes": {"choices": [[178, 46]]},
    }


def test_figures_that_name_labelled_configurations_are_left_out_with_them():
    figures = [{"kind": "means", "labels": [ENQUEUE[0]["label"]]}, {"kind": "best", "top": 3}]
    study = study_of([(0.01, 0.9)], table={"figure": figures})
    assert len(study_settings(study).figure) == 2
    (kept,) = next_round(study).settings.figure
    assert (kept.kind, kept.top) == ("best", 3)


def test_a_tenth_of_the_trials_and_at_least_five_are_kept():
    values = [(10 ** -(4 * n / 99), 1 - n / 100) for n in range(100)]
    few, many = next_round(study_of(values[:20])), next_round(study_of(values))
    assert [trial.value for trial in few.best] == [1 - n / 100 for n in range(5)]
    assert len(many.best) == 10
    assert len(next_round(study_of(values), top=3).best) == 3
    assert len(next_round(study_of(values[:2]), top=30).best) == 2


def test_the_lowest_losses_are_the_best():
    values = [(0.001, 0.1), (0.1, 0.9)]
    up, down = study_of(values), study_of(values, direction="minimize")
    assert rates(up, top=1)[0] > 0.01 > rates(down, top=1)[1]


def test_margin_and_widen_are_passed_on():
    study = study_of([(1.0, 0.9)])
    assert rates(study) == (0.39, 1.0)
    assert rates(study, margin=0.25) == (0.1, 1.0)
    assert rates(study, widen=True) == (0.39, 100.0)
    with pytest.raises(SettingsError, match="margin: must be a number of at least 0, but got nan"):
        next_round(study, margin=float("nan"))


def test_the_file_shows_what_changed_and_loads_as_the_settings(tmp_path):
    following = next_round(study_of([(1.0, 0.9), (0.9, 0.85), (0.001, None)]))
    file = following.as_file()
    assert file.startswith(
        """\
# digits-tpe around the best 2 of 2 completed trials (val/accuracy 0.85 to 0.9)
#
#                     before                    now
# learning_rate       0.0001..1.0 (log)         0.35..1.0 (log)
# momentum            0.5..0.99 (log of 1 - x)  0.85..0.933 (log of 1 - x)
# hidden_layer_sizes  one of 178-46, 100, none  one of 178-46
#
# learning_rate's best values crowd the upper end 1.0: widen it
#
# hpsearch study FILE starts it as digits.r2-tpe

name = "digits.r2"
"""
    )
    (tmp_path / "finer.toml").write_text(file)
    assert load_settings(tmp_path / "finer.toml") == following.settings


def test_a_file_without_warnings_and_with_one_trial():
    file = next_round(study_of([(0.01, 0.9)])).as_file()
    assert "the best 1 of 1 completed trials (val/accuracy 0.9)\n" in file
    assert "crowd" not in file


def test_it_counts_the_trials_that_are_as_good_as_the_last_one_taken():
    study = study_of([(0.01, 0.8)] * 2 + [(0.1, 1.0)] * 16)
    first, *rest = next_round(study).as_file().splitlines()
    assert first == "# digits-tpe around the best 5 of 18 completed trials (val/accuracy 1)"
    assert rest[0] == (
        "# 11 more have val/accuracy 1 too: hpsearch narrow digits-tpe --top 16 takes all"
    )
    assert next_round(study, top=16).tie == next_round(study, top=30).tie == ""
    assert next_round(study, top=17).tie.startswith("1 more has val/accuracy 0.8 too: ")


@pytest.mark.parametrize(
    ("study", "following"),
    [
        ("digits-tpe", "digits.r2"),
        ("digits.r2-tpe", "digits.r3"),
        ("digits.r9-tpe", "digits.r10"),
        ("digits-tpe.r2", "digits.r3"),
        ("digits-random", "digits-random.r2"),
        ("mine", "mine.r2"),
        ("mine.r2-tpe", "mine.r3"),
        ("v1.0-tpe", "v1.0.r2"),
        (".r2-tpe", ".r2.r2"),
    ],
)
def test_a_round_is_numbered_in_its_name(study, following):
    assert next_name(study, "tpe") == following
    assert check_name(following) == following


def test_the_longest_name_has_a_next_round_too():
    one, other = (check_name(next_name("n" * 99 + letter, "tpe")) for letter in "ab")
    assert one.startswith("n" * 88)
    assert one.endswith(".r2")
    assert one != other


def test_a_study_that_cannot_be_narrowed_is_refused():
    foreign = optuna.create_study(study_name="theirs")
    assert sentence(foreign) == (
        "study 'theirs' was not started by hpsearch, so its space is not known; "
        "only what `hpsearch study` has run can be narrowed or exported"
    )
    assert sentence(study_of([(0.1, None)])) == (
        "study 'digits-tpe' has no completed trial yet; narrow it when it has some"
    )
    fixed = study_of([], table={"trial": {"epochs": 3}, "enqueue": []})
    assert sentence(fixed) == (
        "study 'digits-tpe' searches nothing: its [trial] has no range and no choices"
    )


def test_the_next_study_runs_in_the_narrower_space(make_settings, tmp_path):
    settings = make_settings(trial={"hidden_layer_sizes": {"choices": [[8], [4, 4]]}})
    storage = str(tmp_path / "journal")
    first = run_study(settings, storage=storage).study
    following = next_round(first, top=2)
    second = run_study(following.settings, storage=storage).study
    assert (first.study_name, second.study_name) == ("tiny-random", "tiny.r2-random")
    searched = following.settings.trial.searched["learning_rate"]
    assert all(trial.params["learning_rate"] in searched for trial in second.trials)
    assert next_round(second).settings.name == "tiny.r3"


# All of them in one go


@pytest.fixture
def run(tmp_path, make_settings):
    """`run_rounds` of a study of tiny trials, and what it returns."""

    def run_it(rounds, *, search=None, trial=None, enqueue=(), **options):
        settings = make_settings(
            search={"trials": 8, **(search or {})}, trial=trial, enqueue=list(enqueue)
        )
        return run_rounds(settings, rounds, storage=str(tmp_path / "r.journal"), **options)

    return run_it


def own(study):
    return [trial for trial in study.get_trials() if "carried" not in trial.user_attrs]


def carried(study):
    return {
        trial.user_attrs["carried"]: trial
        for trial in study.get_trials()
        if "carried" in trial.user_attrs
    }


def test_each_round_searches_around_the_best_of_those_before(run):
    outcomes = run(3)
    studies = [outcome.study for outcome in outcomes]
    names = ["tiny-random", "tiny-random.r2", "tiny-random.r3"]
    assert [study.study_name for study in studies] == names
    assert [outcome.reason for outcome in outcomes] == ["finished"] * 3
    widths = []
    for study in studies:
        assert sorted(trial.user_attrs["slot"] for trial in own(study)) == list(range(8))
        found = study_settings(study).trial.searched["learning_rate"]
        rates = [trial.params["learning_rate"] for trial in study.get_trials()]
        assert found.low <= min(rates) <= max(rates) <= found.high
        widths.append(found.high / found.low)
    assert widths[0] > widths[1] > widths[2]
    assert study_settings(studies[1]).trial == next_round(studies[0]).narrowing.space


def test_earlier_trials_in_the_space_are_carried_over(run):
    first, second, third = (outcome.study for outcome in run(3))
    space = study_settings(second).trial.searched
    expected = {
        f"tiny-random#{trial.user_attrs['slot']}": trial
        for trial in first.get_trials()
        if all(value in space[key] for key, value in searched_values(trial).items())
    }
    assert 0 < len(expected) < 8
    assert carried(second).keys() == expected.keys()
    for source, trial in carried(second).items():
        original = expected[source]
        assert (trial.params, trial.value) == (original.params, original.value)
        assert trial.intermediate_values == original.intermediate_values
        assert trial.user_attrs["curves"] == original.user_attrs["curves"]
        assert "slot" not in trial.user_attrs
        rates = trial.distributions["learning_rate"]
        assert (rates.low, rates.high) == (space["learning_rate"].low, space["learning_rate"].high)
    assert {source.partition("#")[0] for source in carried(third)} <= {
        "tiny-random",
        "tiny-random.r2",
    }
    assert any(source.startswith("tiny-random.r2#") for source in carried(third))


def test_a_labelled_trial_with_another_fixed_value_is_not_carried_over(run):
    odd = {"label": "odd", "epochs": 2, "learning_rate": 0.03, "momentum": 0.9}
    even = {"label": "even", "learning_rate": 0.03, "momentum": 0.9}
    _, second = run(2, trial={"learning_rate": {"low": 0.02, "high": 0.04}}, enqueue=[odd, even])
    sources = carried(second.study)
    assert "tiny-random#0" not in sources
    assert study_settings(second.study).enqueue == ()


def test_the_same_call_continues_where_it_was_interrupted(run):
    asked = iter(range(40))  # in the second round
    stopped = run(3, should_stop=lambda: next(asked, None) is None)
    assert [outcome.reason for outcome in stopped] == ["finished", "interrupted"]
    begun = study_settings(stopped[1].study).trial

    outcomes = run(3)
    assert outcomes[0].new == 0
    assert study_settings(outcomes[1].study).trial == begun
    for outcome in outcomes:
        done = [t for t in own(outcome.study) if t.state is TrialState.COMPLETE]
        assert sorted(trial.user_attrs["slot"] for trial in done) == list(range(8))
        assert len(carried(outcome.study)) == len(set(carried(outcome.study)))
    sources = [t.user_attrs.get("carried") for t in outcomes[2].study.get_trials()]
    assert len(outcomes[2].study.get_trials()) == 8 + len({s for s in sources if s})
    assert [outcome.new for outcome in run(3)] == [0, 0, 0]


def test_rounds_share_an_experiment(run, mlflow_uri):
    first, second = run(2, tracker=Tracker(mlflow_uri))
    client = MlflowClient(mlflow_uri)
    experiments = [e.name for e in client.search_experiments() if e.name != "Default"]
    assert experiments == ["tiny-random"]
    names = {r.info.run_name for r in client.search_runs(["1"])}
    assert names == {f"{prefix}trial-{n:04d}" for prefix in ("", "r2-") for n in range(8)}
    tracker = Tracker(mlflow_uri)
    assert (tracker.sync(first.study), tracker.sync(second.study)) == (0, 0)

    note = client.get_experiment("1").tags["mlflow.note.content"]
    assert "**tiny-random**: best" in note
    assert "**tiny-random.r2**: best" in note
    assert "`hpsearch study study.toml --name tiny-random --rounds 2`" in note
    assert f"```toml\n{first.study.user_attrs['settings'].strip()}" in note

    tracker.delete([second.study])
    assert len(client.search_runs(["1"])) == 8
    assert client.get_experiment("1").lifecycle_stage == "active"
    tracker.delete([first.study])
    assert client.get_experiment("1").lifecycle_stage == "deleted"


def test_the_rounds_of_a_study_are_found(run, tmp_path):
    names = [outcome.study.study_name for outcome in run(3)]
    run(1, name="tiny-random.r4")  # a study that merely bears such a name
    storage = open_storage(str(tmp_path / "r.journal"))
    for name in names:
        study = optuna.load_study(storage=storage, study_name=name)
        assert [found.study_name for found in rounds_of(storage, study)] == names


def test_a_grid_has_fewer_points_in_each_round(run):
    outcomes = run(
        3,
        search={"sampler": "grid", "trials": 12},
        trial={
            "learning_rate": {"choices": [1e-4, 0.01, 0.03, 0.1]},
            "momentum": {"low": 0.5, "high": 0.9, "step": 0.2},
        },
    )
    assert [outcome.reason for outcome in outcomes] == ["finished"] * 3
    totals = [outcome.total for outcome in outcomes]
    assert totals == sorted(totals, reverse=True)
    assert totals[0] == 12 > totals[2]


def test_each_round_draws_different_numbers(run):
    shares = []
    for outcome in run(2):
        entry = study_settings(outcome.study).trial.searched["learning_rate"]
        low, high = np.log(entry.low), np.log(entry.high)
        own_trials = sorted(own(outcome.study), key=lambda trial: trial.user_attrs["slot"])
        rates = np.log([trial.params["learning_rate"] for trial in own_trials])
        shares.append((rates - low) / (high - low))
    assert np.abs(shares[0] - shares[1]).min() > 1e-6


def test_a_round_of_an_earlier_study_of_that_name_is_refused(run, tmp_path):
    run(2)
    store = open_storage(str(tmp_path / "r.journal"))
    optuna.delete_study(study_name="tiny-random", storage=store)
    with pytest.raises(StudyError, match=r"'tiny-random\.r2' is not a round of this 'tiny-random'"):
        run(2)


def test_a_round_without_trials_is_started_again(run, tmp_path):
    run(1)
    store = open_storage(str(tmp_path / "r.journal"))
    optuna.create_study(study_name="tiny-random.r2", storage=store, direction="maximize")
    assert [outcome.reason for outcome in run(2)] == ["finished"] * 2


def test_a_search_that_cannot_have_rounds_is_refused_before_the_first(run, tmp_path):
    with pytest.raises(StudyError, match="searches nothing"):
        run(2, trial={"learning_rate": 0.1, "momentum": 0.9})
    with pytest.raises(SettingsError, match="is no name for a study"):
        run(2, name="n" * 99)
    assert list(tmp_path.iterdir()) == []


def test_without_a_completed_trial_there_is_no_next_round(run):
    (outcome,) = run(3, trial={"learning_rate": 1e38, "momentum": {"low": 0.5, "high": 0.6}})
    assert outcome.reason == "nothing completed"


def test_a_target_ends_all_rounds_and_patience_one(run):
    (outcome,) = run(3, search={"target": 0.0})
    assert outcome.reason == "target"
    outcomes = run(2, name="patient", search={"patience": 2, "trials": 50})
    assert [outcome.reason for outcome in outcomes] == ["patience", "patience"]


def test_the_timeout_limits_all_rounds_together(run):
    outcomes = run(50, search={"timeout": 1.5})
    assert outcomes[-1].reason == "timeout"
    assert sum(outcome.seconds for outcome in outcomes) < 10


def test_tpe_starts_warm(run):
    outcomes = run(2, search={"sampler": "tpe", "trials": 12})
    assert [outcome.reason for outcome in outcomes] == ["finished"] * 2
    assert carried(outcomes[1].study)
