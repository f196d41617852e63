"""What hpsearch relies on in Optuna and MLflow although they do not document it.

Each test says in its failure what a new version changed and what to do. The last ones prove that
no module but hpsearch/internals.py uses a private name of either library.
"""

import ast
import importlib
import inspect
import pkgutil
import re
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

import optuna
import pytest
import sqlalchemy
from hypothesis import given
from hypothesis import strategies as st
from mlflow import MlflowClient
from optuna.distributions import FloatDistribution
from optuna.exceptions import DuplicatedStudyError
from optuna.samplers import BaseSampler, GPSampler, QMCSampler
from optuna.search_space import IntersectionSearchSpace
from optuna.storages import InMemoryStorage, JournalStorage, RDBStorage
from optuna.storages.journal import BaseJournalBackend
from optuna.study import Study, StudyDirection
from optuna.trial import TrialState, create_trial

import hpsearch

try:
    from hpsearch.internals import (
        RUNNING_TRIAL_OPERATIONS,
        WRITE_BEHIND_OPERATIONS,
        ForwardingStorage,
        JournalIndex,
        NumberedQMCSampler,
        database_engine,
        with_transformed_trials,
    )
except (ImportError, AttributeError) as error:
    raise ImportError(
        f"{error}: Optuna no longer has JournalOperation with its names in "
        "optuna.storages.journal._storage: see hpsearch/internals.py RUNNING_TRIAL_OPERATIONS. "
        "Import it from where it is now, or write its numbers there."
    ) from error

ROOT = Path(__file__).parent.parent
INTERNALS = ROOT / "hpsearch" / "internals.py"
SPACE = {"x": FloatDistribution(0, 1), "y": FloatDistribution(0, 1)}

# Optuna: the operations of a journal


class Recorder(BaseJournalBackend):
    """A journal in memory."""

    def __init__(self):
        self.logs = []

    def read_logs(self, log_number_from):
        return self.logs[log_number_from:]

    def append_logs(self, logs):
        self.logs.extend(logs)


def operations(backend, action):
    """Return the operations that `action` appends to the journal."""
    before = len(backend.logs)
    action()
    return {log["op_code"] for log in backend.logs[before:]}


def test_optimize_sends_heartbeats_through_a_forwarding_storage(tmp_path):
    calls = []

    class Recording(ForwardingStorage):
        def forward(self, operation, *args, **kwargs):
            calls.append(operation.__name__)
            return operation(*args, **kwargs)

    storage = RDBStorage(f"sqlite:///{tmp_path / 's.db'}", heartbeat_interval=60)
    study = optuna.create_study(storage=Recording(storage))
    study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=1)
    assert {"create_new_study", "set_trial_param", "record_heartbeat"} <= set(calls), (
        "Optuna finds heartbeats in another way; see ForwardingStorage in hpsearch/internals.py"
    )
    assert len(study.trials) == 1


def test_a_storage_without_heartbeats_has_none_when_it_is_forwarded():
    study = optuna.create_study(storage=ForwardingStorage(InMemoryStorage()))
    study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=2)
    assert [trial.number for trial in study.trials] == [0, 1]


def test_the_journal_says_which_entries_belong_to_a_running_trial():
    backend = Recorder()
    study = optuna.create_study(storage=JournalStorage(backend))
    trials = []
    while_it_runs = {
        "the creation of a trial": lambda: trials.append(study.ask()),
        "a parameter": lambda: trials[0].suggest_float("x", 0, 1),
        "a report": lambda: trials[0].report(0.5, 1),
        "a user attribute": lambda: trials[0].set_user_attr("key", 1),
        "a system attribute": lambda: study._storage.set_trial_system_attr(
            trials[0]._trial_id, "key", 1
        ),
    }
    assert operations(backend, lambda: trials.append(study.ask())) - WRITE_BEHIND_OPERATIONS
    lasting = {
        "the end of a trial": lambda: study.tell(trials[0], 0.5),
        "an attribute of the study": lambda: study.set_user_attr("key", 1),
        "a new study": lambda: optuna.create_study(storage=JournalStorage(backend)),
    }
    for what, action in while_it_runs.items():
        assert operations(backend, action) <= RUNNING_TRIAL_OPERATIONS, (
            f"Optuna's journal writes {what} with another operation than before: see "
            "hpsearch/internals.py RUNNING_TRIAL_OPERATIONS. Add that operation, or the journal "
            "waits for the disk at each such entry."
        )
    for what, action in lasting.items():
        assert operations(backend, action) - RUNNING_TRIAL_OPERATIONS, (
            f"Optuna's journal writes {what} with an operation of a running trial: see "
            "hpsearch/internals.py RUNNING_TRIAL_OPERATIONS. Take that operation out, or a power "
            "failure may lose the entry."
        )


@given(
    steps=st.lists(
        st.tuples(st.sampled_from(["study", "trial", "delete"]), st.integers(0, 3)), max_size=30
    )
)
def test_the_index_of_a_journal_gives_the_ids_that_optuna_gives(steps):
    backend = Recorder()
    storage = JournalStorage(backend)
    trials = {}
    for action, number in steps:
        with suppress(KeyError, DuplicatedStudyError):  # which are entries without an effect
            if action == "study":
                storage.create_new_study([StudyDirection.MINIMIZE], f"study-{number}")
            elif action == "trial":
                trials[storage.create_new_trial(number)] = number
            else:
                storage.delete_study(number)
    index = JournalIndex()
    created = [index.add(log) for log in backend.logs]
    advice = "Optuna gives ids in another way: see hpsearch/internals.py JournalIndex"
    assert dict(enumerate(index.study_of)) == trials, advice
    assert [trial for trial in created if trial is not None] == [*trials], advice
    names = {storage.get_study_id_from_name(name): name for name in index.studies.values()}
    assert index.studies == names, advice


# Optuna: the numbered points of a quasi-random sequence


@pytest.mark.parametrize("kind", ["sobol", "halton"])
@pytest.mark.filterwarnings("ignore:QMCSampler is experimental")
def test_the_point_of_a_quasi_random_sequence_can_be_chosen(kind):
    study = optuna.create_study()
    trial = study.ask()
    counting = QMCSampler(qmc_type=kind, seed=3, scramble=True)
    sequence = [counting.sample_relative(study, trial, SPACE) for _ in range(6)]
    numbered = NumberedQMCSampler(qmc_type=kind, seed=3, scramble=True)
    for point in (4, 0, 5, 2, 2):
        numbered.point = point
        assert numbered.sample_relative(study, trial, SPACE) == sequence[point], (
            "Optuna's QMCSampler no longer takes the number of its next point from "
            "_find_sample_id: see hpsearch/internals.py NumberedQMCSampler. Override what "
            "replaces it, or build the sequence with scipy.stats.qmc: the point of a slot must not "
            "depend on other trials."
        )


# Optuna: the trials that samplers read


TRANSFORMED = (
    "{} no longer read the trials by Study._get_trials(deepcopy, states, use_cache): see "
    "hpsearch/internals.py with_transformed_trials. Override the method that they read now, or the "
    "sampler 'gp' ignores pruned trials."
)


def finished(state, x=0.5, value=None):
    return create_trial(
        state=state, value=value, params={"x": x}, distributions={"x": FloatDistribution(0, 1)}
    )


def completed(trials):
    """Return the trials, the pruned ones as complete ones with the value x."""
    xs = [trial.params.get("x") for trial in trials]
    return [
        finished(TrialState.COMPLETE, x, x) if trial.state is TrialState.PRUNED else trial
        for x, trial in zip(xs, trials, strict=True)
    ]


@pytest.fixture
def pruned():
    """A study whose two trials were pruned."""
    study = optuna.create_study()
    study.add_trials([finished(TrialState.PRUNED, x) for x in (0.25, 0.75)])
    return study


def test_a_transformed_study_takes_the_arguments_of_the_real_one():
    advice = TRANSFORMED.format("Optuna's samplers may")
    assert hasattr(Study, "_get_trials"), advice
    parameters = inspect.signature(Study._get_trials).parameters
    assert [(p.name, p.default) for p in parameters.values()][1:] == [
        ("deepcopy", True),
        ("states", None),
        ("use_cache", False),
    ], advice


def test_the_states_are_those_after_the_transformation(pruned):
    study = with_transformed_trials(pruned, completed)
    complete = study._get_trials(deepcopy=False, states=(TrialState.COMPLETE,), use_cache=True)
    assert [trial.value for trial in complete] == [0.25, 0.75]
    assert study._get_trials(states=(TrialState.PRUNED,)) == []
    assert {trial.state for trial in pruned.get_trials()} == {TrialState.PRUNED}
    assert study.study_name == pruned.study_name


@pytest.mark.filterwarnings("ignore:QMCSampler is experimental")
def test_samplers_read_the_transformed_trials(pruned):
    space = IntersectionSearchSpace()
    assert space.calculate(pruned) == {}
    found = IntersectionSearchSpace().calculate(with_transformed_trials(pruned, completed))
    assert found == {"x": FloatDistribution(0, 1)}, TRANSFORMED.format("Optuna's search spaces")

    trial = pruned.ask()
    hidden = with_transformed_trials(pruned, lambda _: [])
    sampler = QMCSampler(seed=0)
    assert sampler.infer_relative_search_space(pruned, trial) == {"x": FloatDistribution(0, 1)}
    assert sampler.infer_relative_search_space(hidden, trial) == {}, TRANSFORMED.format(
        "Optuna's samplers"
    )


@pytest.mark.skipif(find_spec("torch") is None, reason="gp needs torch")
@pytest.mark.filterwarnings("ignore:GPSampler is experimental")
def test_gaussian_processes_read_the_transformed_trials(pruned):
    trial = pruned.ask()
    for study, proposes in ((pruned, False), (with_transformed_trials(pruned, completed), True)):
        sampler = GPSampler(seed=0, n_startup_trials=1)
        found = sampler.sample_relative(study, trial, {"x": FloatDistribution(0, 1)})
        assert bool(found) is proposes, TRANSFORMED.format("Optuna's Gaussian processes")


# MLflow: the engine of its database


def test_the_engine_is_the_one_that_mlflow_uses(mlflow_uri):
    client = MlflowClient(mlflow_uri)
    engine = database_engine(client)
    advice = (
        "MLflow's client no longer has its SQLAlchemy engine at _tracking_client.store.engine: see "
        "hpsearch/internals.py database_engine. Find the engine that it uses now, or every commit "
        "to its SQLite database waits for the disk."
    )
    assert isinstance(engine, sqlalchemy.engine.Engine), advice
    assert str(engine.url) == mlflow_uri, advice
    statements = []

    def note(_connection, _cursor, statement, *_):
        statements.append(statement)

    sqlalchemy.event.listen(engine, "before_cursor_execute", note)
    client.create_experiment("e")
    sqlalchemy.event.remove(engine, "before_cursor_execute", note)
    assert any(statement.startswith("INSERT INTO experiments") for statement in statements), advice


def test_a_tracking_server_has_no_engine():
    assert database_engine(MlflowClient("http://127.0.0.1:9")) is None


def test_a_client_without_the_private_names_has_no_engine():
    assert database_engine(object()) is None


# No other module uses a private name


LIBRARIES = ("optuna", "mlflow")
PRIVATE = re.compile(r"_[A-Za-z]\w*")
PRIVATE_PATH = re.compile(rf"(?:{'|'.join(LIBRARIES)})(?:\.\w+)*\.{PRIVATE.pattern}(?:[.:]\w+)*")
DOCUMENTED = {"_asdict", "_exit", "_fields", "_make", "_replace"}  # by Python itself


def is_private(name):
    return PRIVATE.fullmatch(name) is not None and name not in DOCUMENTED


@pytest.fixture(scope="module")
def library_names():
    """The private attributes of the objects of Optuna and MLflow that hpsearch handles."""
    study = optuna.create_study(storage=JournalStorage(Recorder()))
    frozen = finished(TrialState.COMPLETE, value=1.0)
    objects = (study, study.ask(), frozen, BaseSampler, MlflowClient("http://127.0.0.1:9"))
    names = {name for each in objects for name in dir(each) if is_private(name)}
    assert {"_storage", "_trial_id", "_study_id", "_tracking_client", "_get_trials"} <= names
    return names


def private_uses(source, library_names):
    """Return the private names of Optuna or MLflow that a module uses, with their lines.

    Those are imports and dotted paths in texts; attributes that the libraries' objects have, on
    anything but self and cls; and every private attribute that the module does not define itself.
    """
    tree = ast.parse(source)
    nodes = [*ast.walk(tree)]
    defined = {each.name for each in nodes if hasattr(each, "name") and isinstance(each.name, str)}
    defined |= {each.id for each in nodes if isinstance(each, ast.Name)}
    defined |= {
        each.attr
        for each in nodes
        if isinstance(each, ast.Attribute) and isinstance(each.ctx, ast.Store) and is_own(each)
    }
    found = []
    for node in nodes:
        if isinstance(node, ast.Import):
            paths = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            paths = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            paths = PRIVATE_PATH.findall(node.value)
        else:
            paths = []
        found += [(node.lineno, path) for path in paths if PRIVATE_PATH.match(path)]
        name = attribute_name(node)
        if is_private(name) and (
            name not in defined or (name in library_names and not is_own(node))
        ):
            found.append((node.lineno, name))
    return found


def attribute_name(node):
    """Return the attribute that a node reads or writes, by a dot or by `getattr` and its kin."""
    if isinstance(node, ast.Attribute):
        return node.attr
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and len(node.args) > 1:
        name = node.args[1]
        if node.func.id in ("getattr", "setattr", "hasattr", "delattr") and isinstance(
            name, ast.Constant
        ):
            return str(name.value)
    return ""


def is_own(node):
    """Whether an attribute is one of self or cls."""
    owner = node.value if isinstance(node, ast.Attribute) else node.args[0]
    return isinstance(owner, ast.Name) and owner.id in ("self", "cls")


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("import optuna._callbacks", ["optuna._callbacks"]),
        ("from optuna.storages.journal._storage import A", ["optuna.storages.journal._storage.A"]),
        ("from mlflow.utils import _get_it", ["mlflow.utils._get_it"]),
        ("patch('optuna.study._optimize.f')", ["optuna.study._optimize.f"]),
        ("study._storage.get_all_trials(study._study_id)", ["_storage", "_study_id"]),
        ("class W:\n def __init__(self): self._storage = study._storage", ["_storage"]),
        ("getattr(client, '_tracking_client')", ["_tracking_client"]),
        ("class S(QMCSampler):\n def f(self): return self._rng", ["_rng"]),
        ("super()._sample_qmc(study)", ["_sample_qmc"]),
        ("from optuna.study import Study\nfrom hpsearch import _x", []),
        (
            "class W:\n def __init__(self): self._storage = 1\n def f(self): return self._storage",
            [],
        ),
        ("class C:\n def _f(self): ...\n @classmethod\n def g(cls): c = cls(); c._f()", []),
        ("os._exit(1); point._asdict(); x.__dict__", []),
    ],
)
def test_the_rule_finds_private_names_and_nothing_else(source, names, library_names):
    assert sorted(name for _, name in private_uses(source, library_names)) == sorted(names)


def test_no_other_module_uses_a_private_name(library_names):
    found = []
    for package in ("hpsearch", "model", "studies"):
        for path in sorted((ROOT / package).rglob("*.py")):
            uses = private_uses(path.read_text(encoding="utf-8"), library_names)
            if path == INTERNALS:
                assert {"_get_trials", "_tracking_client"} <= {name for _, name in uses}
            else:
                found += [f"{path.relative_to(ROOT)}:{line}: {name}" for line, name in uses]
    assert not found, (
        "only hpsearch/internals.py may use private names of Optuna or MLflow; find a public way, "
        f"or move the use there with its reason and a test here: {found}"
    )


def test_no_other_module_overrides_a_private_method():
    found = set()
    for module in pkgutil.walk_packages(hpsearch.__path__, "hpsearch."):
        if module.name in ("hpsearch.__main__", "hpsearch.internals"):
            continue
        for _, kind in inspect.getmembers(importlib.import_module(module.name), inspect.isclass):
            if kind.__module__ == module.name:
                bases = [base for base in kind.__mro__ if base.__module__.startswith(LIBRARIES)]
                names = {name for base in bases for name in vars(base) if is_private(name)}
                own = [name for name in vars(kind) if name in names and name != "_abc_impl"]
                found |= {f"{module.name}.{kind.__name__}.{name}" for name in own}
    assert not found, (
        "only hpsearch/internals.py may override private methods of Optuna or MLflow; move them "
        f"there with their reason and a test here: {sorted(found)}"
    )
    assert "_find_sample_id" in vars(NumberedQMCSampler)
    assert "_find_sample_id" in vars(QMCSampler), (
        "Optuna's QMCSampler no longer has _find_sample_id: see hpsearch/internals.py "
        "NumberedQMCSampler, which overrides it to choose the point of the sequence."
    )


def test_mlflows_server_command_starts_its_web_server_where_we_think():
    server = importlib.import_module("mlflow.server")
    assert callable(getattr(server, "_exec_cmd", None)), (
        "MLflow has renamed mlflow.server._exec_cmd: see hpsearch/internals.py MLFLOW_SERVER, "
        "without which a process of 250 MB waits beside the web server."
    )
