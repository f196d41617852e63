import math
import tomllib
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpsearch.errors import SettingsError
from hpsearch.settings.study import STUDIES, StudySettings, load_settings, parse_settings
from hpsearch.space.space import SearchSpace
from hpsearch.trainables.network_keys import NETWORK, network_space
from hpsearch.trials.metrics import NETWORK_METRICS
from model.config import TrainConfig

SHIPPED = sorted(STUDIES.glob("*.toml"))
STUDY = """
name = "letters"

[data]
source = "iris"
limit = 100
scale = "unit"
split_seed = 3

[search]
metric = "val/loss"
sampler = "random"
pruner = "hyperband"
trials = 7
seed = 11
timeout = 90
target = 0.25
patience = 5

[search.pruner_options]
reduction_factor = 2

[trial]
epochs = 5
hidden_layer_sizes = { choices = [[178, 46], [100], []] }
optimizer = "momentum"
learning_rate = { low = 1e-6, high = 1e-2, log = true }
momentum = { low = 0.9, high = 0.999, log = "complement" }
batch_size = { low = 10, high = 100, step = 30 }

[[enqueue]]
label = "the book's best"
learning_rate = 0.0092
epochs = 9

[[enqueue]]
hidden_layer_sizes = []
"""
RATE = {"low": 1e-3, "high": 1.0, "log": True}
TOP_KEYS = "(name, model, data, search, trial, enqueue, figure, notify)"
DATA_KEYS = (
    "(source, more, target, task, drop, id, text, max_categories, decimal, thousands, groups, "
    "time, weight, class_weight, positive, limit, train_limit, scale, split_seed, draw, shuffle, "
    "validation, test, reading)"
)
SEARCH_KEYS = (
    "(metric, direction, metrics, threshold, value, sampler, pruner, trials, seeds, seed, "
    "first_draw, timeout, target, patience, diagnostics, sampler_options, pruner_options)"
)
NAME_RULE = "is no name for a study; use up to 100 letters, digits, '.', '_' and '-'"


@pytest.fixture
def study_file(tmp_path):
    path = tmp_path / "study.toml"
    path.write_text(STUDY, encoding="utf-8")
    return path


def parse(**tables):
    return parse_settings({"name": "n", **tables}, "place")


def refusal(function, *arguments, **options):
    with pytest.raises(SettingsError) as error:
        function(*arguments, **options)
    return str(error.value)


def test_a_byte_order_mark_is_no_part_of_the_file(tmp_path):
    (tmp_path / "marked (1).toml").write_bytes(b"\xef\xbb\xbf[search]\ntrials = 7\n")
    settings = load_settings(tmp_path / "marked (1).toml")
    assert (settings.name, settings.search.trials) == ("marked-1", 7)


def test_reads_every_table_of_a_study_file(study_file):
    read = load_settings(study_file)
    assert read.name == "letters"
    assert read.data.model_dump(exclude_none=True) == {
        "source": "iris",
        "limit": 100,
        "scale": "unit",
        "split_seed": 3,
        "draw": "stratified",
        "validation": "split",
    }
    assert read.search.model_dump() == {
        "metric": "val/loss",
        "given_direction": None,
        "metrics": (),
        "threshold": None,
        "value": "best",
        "sampler": "random",
        "pruner": "hyperband",
        "trials": 7,
        "seeds": 1,
        "seed": 11,
        "first_draw": None,
        "timeout": 90.0,
        "target": 0.25,
        "patience": 5,
        "diagnostics": False,
        "sampler_options": {},
        "pruner_options": {"reduction_factor": 2},
    }
    assert read.trial == network_space(tomllib.loads(STUDY)["trial"])
    assert [(entry.label, dict(entry.values)) for entry in read.enqueue] == [
        ("the book's best", {"learning_rate": 0.0092, "epochs": 9}),
        ("configuration 1", {"hidden_layer_sizes": ()}),
    ]


def test_a_path_may_be_text(study_file):
    assert load_settings(str(study_file)) == load_settings(study_file)


def test_missing_keys_have_defaults(tmp_path):
    path = tmp_path / "my-study.v2.toml"
    path.write_text("", encoding="utf-8")
    read = load_settings(path)
    assert read.name == "my-study.v2"
    assert (read.data.source, read.data.scale, read.data.split_seed) == ("digits", "standardize", 0)
    assert (read.search.sampler, read.search.pruner) == ("tpe", "halving")
    assert (read.search.metric, read.search.trials, read.search.seed) == ("val/accuracy", 100, 0)
    assert (read.trial, read.enqueue) == (SearchSpace(keys=NETWORK), ())


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_every_shipped_study_is_found_by_its_name(path, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    read = load_settings(path.stem)
    assert read == load_settings(path)
    assert read.name == path.stem
    assert read.trial.searched or read.enqueue


def test_digits_and_mnist_are_shipped():
    assert {"digits", "mnist"} <= {path.stem for path in SHIPPED}


def test_a_file_takes_precedence_over_a_shipped_study_of_the_same_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("digits").write_text('name = "my-own"', encoding="utf-8")
    assert load_settings("digits").name == "my-own"


def test_a_data_file_is_found_beside_the_study_file(tmp_path, monkeypatch):
    home = tmp_path / "home"
    home.mkdir()
    (home / "study.toml").write_text('data.source = "rows.csv"', encoding="utf-8")
    assert load_settings(home / "study.toml").data.source == "rows.csv"
    (home / "rows.csv").touch()
    assert load_settings(home / "study.toml").data.source == str(home / "rows.csv")
    monkeypatch.chdir(tmp_path)
    Path("rows.csv").touch()
    assert load_settings(home / "study.toml").data.source == "rows.csv"


def test_a_file_called_like_a_data_set_does_not_replace_it(tmp_path):
    (tmp_path / "study.toml").write_text('data.source = "iris"', encoding="utf-8")
    (tmp_path / "iris").touch()
    assert load_settings(tmp_path / "study.toml").data.source == "iris"


def test_is_written_back_to_toml(study_file, tmp_path):
    read = load_settings(study_file)
    copy = tmp_path / "copy.toml"
    copy.write_text(read.to_toml(), encoding="utf-8")
    assert load_settings(copy) == read
    lines = copy.read_text(encoding="utf-8").splitlines()
    assert 'momentum = {low = 0.9, high = 0.999, log = "complement"}' in lines
    assert 'sampler = "random"' in lines


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_shipped_studies_are_written_back_to_toml(path):
    read = load_settings(path)
    assert parse_settings(tomllib.loads(read.to_toml()), "copy") == read


@settings(deadline=None)
@given(
    st.text(),
    st.floats(1e-300, 1.0),
    st.lists(st.integers(1, 10**6), max_size=3),
    st.sampled_from(["", "a b.csv", "ü/'\"\\.csv", "\x00\x7f\t"]),
)
def test_any_label_number_shape_and_path_survive_toml(label, rate, shape, source):
    read = parse(
        data={"source": source},
        trial={"hidden_layer_sizes": shape, "learning_rate": {"low": rate / 2, "high": 2.0}},
        enqueue=[{"label": label, "learning_rate": rate, "hidden_layer_sizes": shape}],
    )
    assert parse_settings(tomllib.loads(read.to_toml()), "copy") == read


def test_replace_merges_tables_and_leaves_the_original_alone():
    read = parse(data={"limit": 50}, search={"seed": 3}, trial={"epochs": 5, "learning_rate": RATE})
    other = read.replace(
        name="other",
        search={"trials": 9},
        data={"limit": None, "source": "iris"},
        trial={"learning_rate": 0.5},
        enqueue=[{"label": "a", "epochs": 3}],
    )
    assert (other.name, other.search.trials, other.search.seed) == ("other", 9, 3)
    assert (other.data.limit, other.data.source) == (None, "iris")
    assert other.trial == network_space({"epochs": 5, "learning_rate": 0.5})
    assert other.enqueue[0].label == "a"
    assert read == parse(
        data={"limit": 50}, search={"seed": 3}, trial={"epochs": 5, "learning_rate": RATE}
    )
    assert other.replace() == other


def test_replace_checks_what_it_is_given():
    read = parse()
    assert refusal(read.replace, search={"trials": 0}) == (
        "settings: search.trials: must be at least 1, but got 0"
    )
    assert refusal(read.replace, serach={"trials": 1}) == (
        f"settings: serach: 'serach' is not a key here; did you mean 'search'? {TOP_KEYS}"
    )


def test_settings_made_in_python_may_hold_a_space():
    space = network_space({"epochs": 3})
    assert StudySettings(name="n", trial=space).trial is space


@pytest.mark.parametrize(
    ("tables", "sentence"),
    [
        (
            {"trial": {"learning_rate": {"lo": 1e-6, "high": 1e-2}}},
            "trial.learning_rate: unknown key 'lo'; a range has low, high, log, step",
        ),
        (
            {"trial": {"optimizer": "adamm"}},
            "trial.optimizer: 'adamm' is not an optimizer; did you mean 'adam'? "
            "(sgd, momentum, nesterov, adagrad, rmsprop, adam)",
        ),
        ({"trial": {"momentum": 1.2}}, "trial.momentum: must be in [0, 1), but got 1.2"),
        (
            {"trial": {"epochs": 5, "hidden_units": 5, "hidden_layer_sizes": [5]}},
            "trial.hidden_layer_sizes: give either the shape or hidden_layers and hidden_units, "
            "not both",
        ),
        ({"name": 5}, "name: must be text, but got 5"),
        ({"serach": {}}, f"serach: 'serach' is not a key here; did you mean 'search'? {TOP_KEYS}"),
        ({"foo": 1}, f"foo: 'foo' is not a key here {TOP_KEYS}"),
        (
            {"data": {"sorce": "iris"}},
            f"data.sorce: 'sorce' is not a key here; did you mean 'source'? {DATA_KEYS}",
        ),
        (
            {"search": {"trial": 5}},
            f"search.trial: 'trial' is not a key here; did you mean 'trials'? {SEARCH_KEYS}",
        ),
        *(({table: 5}, f"{table}: must be a table, but got 5") for table in ("data", "search")),
        ({"data": [{}]}, "data: must be a table, but got [{}]"),
        ({"trial": 5}, "trial: must be a table, but got 5"),
        ({"trial": []}, "trial: must be a table, but got []"),
        ({"data": {"source": 5}}, "data.source: must be text, but got 5"),
        ({"data": {"reading": 3}}, "data.reading: must be 1 or 2, but got 3"),
        ({"data": {"target": 5}}, "data.target: must be text, or a list of columns, but got 5"),
        ({"data": {"limit": 0}}, "data.limit: must be at least 1, but got 0"),
        ({"data": {"limit": 5.0}}, "data.limit: must be a whole number, but got 5.0"),
        ({"data": {"train_limit": -1}}, "data.train_limit: must be at least 1, but got -1"),
        ({"data": {"split_seed": -1}}, "data.split_seed: must be at least 0, but got -1"),
        (
            {"data": {"scale": "units"}},
            "data.scale: 'units' is not a scale; did you mean 'unit'? "
            "(standardize, unit, global, none)",
        ),
        (
            {"search": {"metric": "accuracy"}},
            "search.metric: 'accuracy' is not a metric; did you mean 'val/accuracy'? "
            f"({', '.join(NETWORK_METRICS)})",
        ),
        ({"search": {"metric": 5}}, "search.metric: must be text, but got 5"),
        (
            {"search": {"sampler": "randon"}},
            "search.sampler: 'randon' is not a sampler; did you mean 'random'? "
            "(random, tpe, gp, qmc, grid)",
        ),
        (
            {"search": {"pruner": "mediam"}},
            "search.pruner: 'mediam' is not a pruner; did you mean 'median'? "
            "(none, median, halving, hyperband)",
        ),
        *(
            ({"search": {key: value}}, f"search.{key}: must be a whole number, but got {value!r}")
            for key in ("trials", "seed")
            for value in (1.0, True, "5", [])
        ),
        ({"search": {"trials": 0}}, "search.trials: must be at least 1, but got 0"),
        ({"search": {"seed": -1}}, "search.seed: must be at least 0, but got -1"),
        *(
            ({"enqueue": value}, f"enqueue: must be [[enqueue]] tables, but got {value!r}")
            for value in ({"label": "a"}, 5, 0, "ab", True)
        ),
        ({"enqueue": [5]}, "enqueue[0]: must be a table, but got 5"),
        (
            {"enqueue": [{}, {"label": 5}]},
            "enqueue[1].label: must be text, but got 5",
        ),
        ({"enqueue": [{"momentum": 1}]}, "enqueue[0].momentum: must be in [0, 1), but got 1"),
        (
            {"enqueue": [{"learning_rate": RATE}]},
            f"enqueue[0].learning_rate: must be a number in (0, inf), but got {RATE}",
        ),
        (
            {"trial": {"learning_rate": RATE}, "enqueue": [{"learning_rate": 2.0}]},
            "enqueue[0].learning_rate: 2.0 is outside the search space: 0.001..1.0 (log)",
        ),
        (
            {"trial": {"hidden_units": 5}, "enqueue": [{"hidden_layer_sizes": [5]}]},
            "enqueue[0].hidden_layer_sizes: this study gives shapes as hidden_layers and "
            "hidden_units instead",
        ),
        (
            {"trial": {"epochs": 0}, "enqueue": [{"epochs": 0}]},
            "trial.epochs: must be a whole number of at least 1, but got 0",
        ),
    ],
)
def test_says_what_is_wrong_and_where(tables, sentence):
    assert refusal(parse, **tables) == f"place: {sentence}"


@pytest.mark.parametrize("table", [{}, {"enqueue": [{}]}, {"trial": {}}])
def test_names_an_unknown_training_parameter(table):
    entry = {"learn_rate": {"low": 1, "high": 2}}
    tables = {**table, "enqueue": [entry]} if "enqueue" in table else {"trial": entry}
    place = "enqueue[0].learn_rate" if "enqueue" in table else "trial.learn_rate"
    near = "'learn_rate' is not a training parameter; did you mean 'learning_rate'? ("
    assert refusal(parse, **tables).startswith(f"place: {place}: {near}")


def test_names_a_missing_key_and_refuses_keys_that_are_not_text():
    assert refusal(parse_settings, {}, "place") == "place: name: is missing"
    assert refusal(parse_settings, {1: 2}, "place") == "place: keys must be text"


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"name = '\xff'", "is not UTF-8 text: invalid start byte"),
        (b"[trial]\nepochs 5\n", "is not TOML: Expected '=' after a key in a key/value pair "),
        (b"[trial]\nepochs = 5\nepochs = 6\n", "is not TOML: Cannot overwrite a value "),
        (b"x = " + b"[" * 5000, "is not TOML: "),
        (b"x = " + b"9" * 5000, "is not TOML: "),
        (
            b"trial.learning_rate.lo = 1",
            "trial.learning_rate: unknown key 'lo'; a range has low, high, log, step",
        ),
    ],
)
def test_names_a_file_that_is_not_a_study(tmp_path, content, sentence):
    path = tmp_path / "study.toml"
    path.write_bytes(content)
    assert refusal(load_settings, path).startswith(f"{path}: {sentence}")


RATES = ", ".join(map(str, range(1, 40_001)))


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("".join(f"k{n} = 1\n" for n in range(10**6)), "must be at most 1,000,000 characters, but"),
        ("[trial]\n" + "a." * 300_000 + "a = 1", "a key in it has more than 100 parts"),
        ("[search]\ntrials = 1_000_000_000", "search.trials: must be at most 1,000,000 in all"),
        (
            "[search]\nsampler = 'random'\ntrials = 2\nseeds = 1_000_000_000",
            "search.trials: must be at most 1,000,000 in all, but got 2 with 1,000,000,000 seeds",
        ),
        (
            f"[trial]\nlearning_rate = {{ choices = [{RATES}] }}",
            "trial.learning_rate: must have at most 1,000 choices, but got 40,000",
        ),
        (
            "[trial]\nhidden_layers = 100_000_000",
            "trial.hidden_layers: must be at most 1,000 layers, but got 100,000,000",
        ),
        (
            "[trial]\nhidden_layers = { low = 1, high = 100_000_000 }",
            "trial.hidden_layers: must be at most 1,000 layers, but got 100,000,000",
        ),
        (
            f"[trial]\nhidden_layer_sizes = [{'5, ' * 100_000}]",
            "trial.hidden_layer_sizes: must be at most 1,000 layers, but got 100,000",
        ),
        (f"[trial]\nactivation = '{'x' * 900_000}'", "trial.activation: 'xxx"),
    ],
    ids=lambda value: value[:30],
)
def test_a_file_of_absurd_size_is_refused_in_a_short_sentence(tmp_path, text, sentence):
    path = tmp_path / "s.toml"
    path.write_text(text)
    with pytest.raises(SettingsError) as refused:
        load_settings(path)
    said = str(refused.value)
    assert said.startswith(f"{path}: ")
    assert sentence in said
    assert len(said) < 1_100 + len(str(path))
    assert "\n" not in said


def test_the_largest_numbers_are_accepted():
    settings = parse_settings(
        {
            "name": "s",
            "search": {"trials": 1_000_000},
            "trial": {
                "hidden_layers": 1_000,
                "learning_rate": {"choices": [*range(1, 1_001)]},
            },
        },
        "s.toml",
    )
    assert settings.search.slots == 1_000_000


def test_names_the_line_of_broken_toml(tmp_path):
    path = tmp_path / "study.toml"
    path.write_bytes(b"[trial]\nepochs 5\n")
    assert refusal(load_settings, path).endswith("(at line 2, column 8)")


def test_names_a_file_that_cannot_be_read(tmp_path):
    missing, folder = tmp_path / "missing.toml", tmp_path / "folder.toml"
    folder.mkdir()
    assert (
        refusal(load_settings, missing) == f"{missing}: cannot be read: No such file or directory"
    )
    assert refusal(load_settings, folder) == f"{folder}: cannot be read: Is a directory"


def test_refuses_what_is_neither_a_file_nor_a_shipped_study(tmp_path):
    shipped = ", ".join(path.stem for path in SHIPPED)
    assert refusal(load_settings, "digts") == (
        f"'digts' is not a study file or a shipped study; did you mean 'digits'? ({shipped})"
    )
    for source in ("", "\0", "x" * 300, tmp_path):
        message = f"{str(source)!r} is not a study file or a shipped study ({shipped})"
        assert refusal(load_settings, source) == message


@pytest.mark.parametrize("name", ["x" * 300 + ".toml", "\0.toml"])
def test_an_impossible_path_is_an_error_like_any_other(name):
    assert refusal(load_settings, name).startswith(f"{name}: ")


@pytest.mark.parametrize("source", ["x" * 300 + ".csv", "\\u0000.csv"])
def test_an_impossible_data_path_is_left_to_the_code_that_opens_it(tmp_path, source):
    path = tmp_path / "study.toml"
    path.write_text(f'data.source = "{source}"', encoding="utf-8")
    assert load_settings(path).data.source.endswith(".csv")


WORDS = [
    *("adam", "digits", "tpe", "median", "val/loss", "complement", "unit", "", "nonsense"),
    *("low", "high", "log", "step", "choices", "label"),
]
NUMBERS = (
    st.integers(-2, 50)
    | st.floats()
    | st.sampled_from([0, 1, 0.5, 0.9, 10**400, -(10**400), 5e-324, math.inf, math.nan])
)
ENDS = st.fixed_dictionaries({"low": NUMBERS, "high": NUMBERS})
PLAIN = st.booleans() | NUMBERS | st.sampled_from(WORDS) | st.text(max_size=3)
VALUES = st.recursive(
    PLAIN | st.just(date(2020, 2, 2)),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(WORDS), inner, max_size=3)
        | st.builds(
            lambda ends, more: ends | more,
            ENDS,
            st.fixed_dictionaries({}, optional={"log": inner, "step": inner}),
        )
    ),
    max_leaves=6,
)


def tables(keys):
    return VALUES | st.dictionaries(st.sampled_from([*keys, "nonsense"]), VALUES, max_size=3)


TRIAL = tables([*vars(TrainConfig()), "hidden_layers", "hidden_units"])
NONSENSE = st.fixed_dictionaries(
    {},
    optional={
        "name": st.just("n") | VALUES,
        "data": tables(DATA_KEYS.strip("()").split(", ")),
        "search": tables(SEARCH_KEYS.strip("()").split(", ")),
        "trial": TRIAL,
        "enqueue": VALUES | st.lists(TRIAL, max_size=2),
        "nonsense": VALUES,
    },
)


def attempt(table):
    """Return the settings in `table`, or the sentence that refuses them."""
    try:
        return parse_settings({"name": "n", **table}, "place")
    except SettingsError as error:
        return str(error)


@settings(deadline=None, max_examples=300)
@given(NONSENSE)
def test_nonsense_is_refused_in_one_sentence_or_survives_toml(table):
    read = attempt(table)
    if isinstance(read, str):
        assert read.startswith("place: ")
        assert "\n" not in read
    else:
        assert parse_settings(tomllib.loads(read.to_toml()), "copy") == read


def test_a_labelled_configuration_may_run_longer_than_the_others():
    table = {"name": "x", "trial": {"epochs": 3}, "enqueue": [{"epochs": 7}, {"momentum": 0.5}]}
    assert parse_settings(table, "x").max_epochs == 7
    assert parse_settings({**table, "enqueue": []}, "x").max_epochs == 3


def test_more_labelled_configurations_than_trials_are_refused():
    table = {"name": "x", "search": {"trials": 1}, "enqueue": [{"epochs": 7}, {"epochs": 8}]}
    sentence = "x: enqueue: 2 labelled configurations, but search.trials is 1; raise trials or drop"
    with pytest.raises(SettingsError, match=f"^{sentence} some$"):
        parse_settings(table, "x")


GRID = {
    "epochs": 2,
    "optimizer": {"choices": ["sgd", "adam"]},
    "hidden_layer_sizes": {"choices": [[8, 4], []]},
    "dropout": {"low": 0.1, "high": 0.3, "step": 0.1},
    "batch_size": {"low": 19, "high": 21},
}


def parse_grid(search=None, trial=None, **rest):
    table = {"name": "n", "search": {"sampler": "grid"} | (search or {}), "trial": trial or GRID}
    return parse_settings(table | rest, "f")


def refused_grid(*arguments, **options):
    return refusal(parse_grid, *arguments, **options)


@pytest.mark.parametrize(
    ("key", "given", "text"),
    [
        ("dropout", {"low": 0.1, "high": 0.5}, "0.1..0.5"),
        ("learning_rate", {"low": 0.1, "high": 0.5, "log": True}, "0.1..0.5 (log)"),
        ("hidden_units", {"low": 1, "high": 8, "log": True}, "1..8 (log)"),
        ("momentum", {"low": 0.1, "high": 0.5, "log": "complement"}, "0.1..0.5 (log of 1 - x)"),
    ],
)
def test_a_grid_refuses_a_range_without_points_and_names_its_place(key, given, text):
    assert refused_grid(trial={key: given}) == (
        f"f: trial.{key}: a grid needs choices or a step here, but got {text}"
    )


def test_a_grid_has_a_trial_for_each_point_by_default():
    assert parse_grid().search.trials == 36
    assert parse_grid({"trials": 10}).search.trials == 10
    assert parse_grid({"trials": 36}).search.trials == 36
    assert parse_grid(trial={"epochs": 2}).search.trials == 1
    assert parse_grid(enqueue=[{"optimizer": "sgd"}, {"epochs": 9}]).search.trials == 38


def test_the_default_number_of_trials_follows_the_space_and_the_sampler():
    read = parse_grid()
    assert read.replace(trial={"optimizer": "sgd"}).search.trials == 18
    assert read.replace(search={"sampler": "random"}).search.trials == 100
    assert read.replace(search={"sampler": "random"}).replace(search={"sampler": "grid"}) == read
    assert read.replace(search={"trials": 5}).replace(name="m").search.trials == 5


def test_a_grid_refuses_more_trials_than_points():
    assert refused_grid({"trials": 100}) == (
        "f: search.trials: is 100, but the grid has 36 points; leave trials out to try them all"
    )
    assert refused_grid({"trials": 38}, enqueue=[{"optimizer": "sgd"}]) == (
        "f: search.trials: is 38, but the grid has 36 points (and 1 labelled configuration); "
        "leave trials out to try them all"
    )


def test_a_huge_grid_needs_a_number_of_trials():
    trial = {"hidden_units": {"low": 1, "high": 10**6}}
    assert refused_grid(trial=trial) == (
        "f: search.trials: the grid has 1,000,000 points; set how many of them to try"
    )
    assert parse_grid({"trials": 20_000}, trial).search.trials == 20_000


def test_the_number_of_trials_of_a_grid_is_written_to_the_file():
    assert "trials = 36" in parse_grid().to_toml()


def test_a_grid_without_searched_keys_has_only_the_labelled_configurations():
    entries = [{"label": "slow", "learning_rate": 0.001}, {"label": "fast"}]
    assert parse_grid(trial={"epochs": 2}, enqueue=entries).search.trials == 2
    assert parse_grid(trial={"epochs": 2}).search.trials == 1
    assert "the grid has 0 points (and 2 labelled configurations)" in refused_grid(
        {"trials": 3}, {"epochs": 2}, enqueue=entries
    )
