import tomllib

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.trial import TrialState, create_trial

from hpsearch.errors import SettingsError, StudyError
from hpsearch.rounds import next_name, next_round
from hpsearch.settings import check_name, load_settings, parse_settings
from hpsearch.study import run_study

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
    assert (now.name, now.data, now.search) == ("digits.r2", before.data, before.search)
    assert now.enqueue == ()
    # 4 decades, so a margin of 0.4: 0.000398..0.0251, then outwards to few digits. On the
    # complement scale 1.7 decades: a distance of 0.1 becomes 0.068..0.148.
    assert now.trial.as_table() == TRIAL | {
        "learning_rate": {"low": 0.00039, "high": 0.03, "log": True},
        "momentum": {"low": 0.85, "high": 0.933, "log": "complement"},
        "hidden_layer_sizes": {"choices": [[178, 46]]},
    }


def test_the_best_are_a_tenth_and_at_least_five():
    values = [(10 ** -(4 * n / 99), 1 - n / 100) for n in range(100)]
    few, many = next_round(study_of(values[:20])), next_round(study_of(values))
    assert [trial.value for trial in few.best] == [1 - n / 100 for n in range(5)]
    assert len(many.best) == 10
    assert len(next_round(study_of(values), top=3).best) == 3
    assert len(next_round(study_of(values[:2]), top=30).best) == 2


def test_the_best_are_the_lowest_of_a_loss():
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


def test_the_file_says_what_changed_and_is_the_settings(tmp_path):
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
    assert check_name(next_name("n" * 100, "tpe")) == "n" * 97 + ".r2"


def test_says_what_cannot_be_narrowed():
    foreign = optuna.create_study(study_name="theirs")
    assert sentence(foreign) == (
        "study 'theirs' was not started by hpsearch, so its space is not known; "
        "only what `hpsearch study` has run can be narrowed"
    )
    assert sentence(study_of([(0.1, None)])) == (
        "study 'digits-tpe' has no completed trial yet; narrow it when it has some"
    )
    fixed = study_of([], table={"trial": {"epochs": 3}, "enqueue": []})
    assert sentence(fixed) == (
        "study 'digits-tpe' searches nothing: its [trial] has no range and no choices"
    )


def test_the_next_study_runs_inside_of_the_narrower_space(make_settings, tmp_path):
    settings = make_settings(trial={"hidden_layer_sizes": {"choices": [[8], [4, 4]]}})
    storage = str(tmp_path / "journal")
    first = run_study(settings, storage=storage).study
    following = next_round(first, top=2)
    second = run_study(following.settings, storage=storage).study
    assert (first.study_name, second.study_name) == ("tiny-random", "tiny.r2-random")
    searched = following.settings.trial.searched["learning_rate"]
    assert all(trial.params["learning_rate"] in searched for trial in second.trials)
    assert next_round(second).settings.name == "tiny.r3"
