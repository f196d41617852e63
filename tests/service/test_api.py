"""The API: what it answers, and what it refuses."""

import json

import httpx
import pytest
from service_server import ELSEWHERE, QUICK, until

from hpsearch.client import API
from hpsearch.errors import ConflictError, StudyError, UnknownStudyError
from hpsearch.service.submission import Allowed


def ended(study):
    return lambda: study.state()["state"] in ("finished", "failed") and study.state()


def get(client, path, **headers):
    return httpx.get(f"{client.url}{path}", headers=headers)


def post(client, path, body):
    return httpx.post(f"{client.url}{API}{path}", json=body)


def test_a_submitted_study_runs_to_its_end_and_can_be_used(client):
    study = client.submit(QUICK, name="quick")
    state = until(ended(study))
    assert (state["state"], state["said"]) == ("finished", "all 4 trials are done")
    assert (state["complete"], state["trials"], state["epochs"]) == (4, 4, 8)
    best = study.best(1)[0]
    assert best["value"] == state["best"]
    assert best["slot"] == state["best_slot"]
    assert [each["slot"] for each in study.trials()] == [0, 1, 2, 3]
    shown = client.call("GET", f"/studies/quick/trials/{best['slot']}")
    assert len(shown["curves"]["val/accuracy"]) == 2
    page = get(client, f"{API}/studies/quick/report")
    assert page.headers["content-type"].startswith("text/html")
    assert "quick" in page.text
    exported = get(client, f"{API}/studies/quick/export?format=json")
    assert json.loads(exported.text)["slot"] == best["slot"]
    assert exported.headers["content-disposition"] == 'attachment; filename="quick.json"'
    file = post(client, "/studies/quick/narrow", {"top": 2}).json()["file"]
    assert 'source = "iris"' in file
    compared = get(client, f"{API}/compare?names=quick").json()
    assert [group["studies"][0]["study"] for group in compared["groups"]] == ["quick"]
    assert get(client, f"{API}/studies/quick/evaluation").json() == {}


def test_a_study_may_be_submitted_twice_but_not_changed(client):
    answers = [post(client, "/studies", {"file": QUICK, "name": "q"}) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [201, 200]
    with pytest.raises(ConflictError, match="exists already, with 4 trials; change that"):
        client.submit(QUICK.replace("trials = 4", "trials = 5"), name="q")
    with pytest.raises(StudyError, match=r"trial\.epochs 2, now 3"):
        client.submit(QUICK.replace("epochs = 2", "epochs = 3"), name="q")
    assert len(client.studies()) == 1


def test_a_study_has_more_trials_and_is_stopped_and_deleted(client):
    study = client.submit(QUICK, name="q")
    until(ended(study))
    study.resume(trials=5000)
    until(lambda: study.state()["complete"] > 6)
    study.stop()
    stopped = until(lambda: study.state()["state"] == "stopped" and study.state())
    assert stopped["trials"] == 5000
    assert stopped["running"] == 0
    client.call("PATCH", "/studies/q", {"priority": 7})
    assert study.state()["priority"] == 7
    assert study.state()["state"] == "stopped"
    study.resume()
    until(lambda: study.state()["state"] == "running")
    study.delete()  # it is stopped first
    until(lambda: not client.studies())


def test_the_list_has_filters_and_pages(client):
    for number in range(3):
        client.submit(ELSEWHERE, name=f"s{number}")
    until(lambda: {each["state"] for each in client.studies()} == {"running"})
    client.study("s1").stop()
    until(lambda: client.study("s1").state()["state"] == "stopped")

    def names(query):
        page = client.call("GET", f"/studies?{query}")
        return [each["name"] for each in page["studies"]], page["total"]

    assert names("state=stopped") == (["s1"], 1)
    assert names("search=2") == (["s2"], 1)
    assert names("limit=1&offset=1") == (["s1"], 3)


def test_trials_are_sorted_and_paged_and_read_since_a_cursor(client):
    study = client.submit(ELSEWHERE, name="e")
    first = client.call("GET", "/studies/e/trials")
    for value in (0.3, 0.1, 0.2):
        study.ask("w").complete({"val/loss": value})
    trial = study.ask("w")

    def page(query):
        return client.call("GET", f"/studies/e/trials?{query}")

    assert [each["value"] for each in page("sort=value")["trials"]] == [0.1, 0.2, 0.3, None]
    assert [each["value"] for each in page("sort=value&order=desc&limit=2")["trials"]] == [0.3, 0.2]
    assert [each["number"] for each in page("order=desc&offset=1")["trials"]] == [2, 1, 0]
    assert page("state=running")["total"] == 1
    news = page(f"since={first['cursor']}")
    assert [each["number"] for each in news["trials"]] == [0, 1, 2, 3]
    assert page(f"since={news['cursor']}")["trials"] == []
    trial.report({"val/loss": 0.5})
    changed = page(f"since={news['cursor']}&curves=true")["trials"]
    assert [each["number"] for each in changed] == [3]


def test_a_cluster_of_readers_follows_the_events(client):
    study = client.submit(ELSEWHERE, name="e")
    watched = study.watch()
    assert next(watched)[0] == "study"
    study.ask("w").complete({"val/loss": 0.3})
    kinds = []
    for kind, data in watched:
        kinds.append(kind)
        if kind == "trial" and data["state"] == "complete":
            assert data["value"] == 0.3
        if kind == "study" and data["complete"] == 1:
            break
    assert "trial" in kinds
    until(lambda: study.ask("w").complete({"val/loss": 0.2}) and study.state()["complete"] == 6)
    assert [kind for kind, _ in study.watch()][-1] == "study"  # it ends with the study


REFUSED = [
    ({"file": "a ="}, 422, "study file: is not TOML"),
    ({"file": {"trial": {"epoch": 3}}}, 422, "did you mean 'epochs'?"),
    ({"file": '[data]\nsource = "/etc/passwd"'}, 422, "this service has no table '/etc/passwd'"),
    ({"file": '[data]\nsource = "../s.csv"'}, 422, "this service has no table '../s.csv'"),
    ({"file": '[data]\nsource = "https://x.org/a.csv"'}, 422, "this service reads no URLs"),
    ({"file": '[data]\nsource = ["a.csv"]'}, 422, "this service has no table 'a.csv'"),
    ({"file": '[data]\nsource = "digits"\nvalidation = "/x.csv"'}, 422, "data.validation"),
    ({"file": '[model]\ntrain = "os:system"'}, 422, "this service takes no models of others"),
    ({"file": '[model]\ntrain = ["sh", "-c", "id"]'}, 422, "takes no models of others"),
    ({"file": '[model]\nestimator = "subprocess.Popen"'}, 422, "takes no models of others"),
    ({"file": '[model]\nestimator = "sklearn:os.system"'}, 422, "takes no models of others"),
    ({"file": '[notify]\nwebhook = "http://x.org"'}, 422, "the webhook that it was started with"),
    ({"file": QUICK, "name": "../../etc"}, 422, "name"),
    ({"file": QUICK, "jobs": 0}, 422, "jobs: Input should be greater than or equal to 1"),
    ({"nam": "x"}, 422, "file: Field required"),
    ({"file": QUICK.replace("iris", "no-such")}, 422, "is not a data set"),
]


@pytest.mark.parametrize(("body", "status", "sentence"), REFUSED)
def test_what_cannot_be_run_is_refused_before_anything_is_created(client, body, status, sentence):
    answer = post(client, "/studies", body)
    problem = answer.json()
    assert (answer.status_code, problem["status"]) == (status, status)
    assert answer.headers["content-type"] == "application/problem+json"
    assert sentence in problem["detail"]
    assert client.studies() == []


def test_errors_of_routes_are_problem_details(client):
    for path, status in (("/nope", 404), ("/studies/none", 404), ("/studies/none/trials", 404)):
        answer = get(client, API + path)
        assert answer.status_code == status
        assert answer.json()["title"] == "Not Found"
    assert httpx.put(f"{client.url}{API}/studies").json()["status"] == 405
    with pytest.raises(UnknownStudyError, match="the storage is empty"):
        client.study("none").stop()
    answer = get(client, f"{API}/studies?limit=0")
    assert answer.json()["detail"] == "limit: Input should be greater than or equal to 1"


def test_the_operator_names_tables_and_models(start_service, tmp_path):
    data, code = tmp_path / "data", tmp_path / "code"
    (data / "sub").mkdir(parents=True)
    code.mkdir()
    rows = "\n".join(f"{n},{n % 7},{n % 2}" for n in range(60))
    (data / "sub" / "t.csv").write_text(f"a,b,y\n{rows}\n")
    (data / "link.csv").symlink_to("/etc/passwd")
    (code / "net.py").write_text(
        "def train(config, *, epochs):\n"
        "    for epoch in range(epochs):\n"
        "        yield {'val/loss': config['rate'] / (epoch + 1)}\n"
    )
    client = start_service(allowed=Allowed(code, data))
    assert client.call("GET", "/allowed") == {"data": ["sub/t.csv"], "trainables": ["net.py"]}
    table = {
        "data": {"source": "sub/t.csv", "target": "y"},
        "search": {"trials": 2},
        "trial": {"epochs": 2, "learning_rate": 0.1},
    }
    assert until(ended(client.submit(table, name="table")))["state"] == "finished"
    model = ELSEWHERE.replace("clients = true", 'train = "net.py:train"')
    state = until(ended(client.submit(model, name="model")))
    assert (state["state"], state["complete"]) == ("finished", 6)
    for train in ("net.py:a b", "../code/net.py:train", "other.py:train", "net:train"):
        answer = post(client, "/studies", {"file": {"model": {"train": train}, "trial": {}}})
        assert "must be a function of a file of this service" in answer.json()["detail"]


def test_an_evaluation_is_wanted_and_shown(client):
    study = client.submit(QUICK, name="q")
    until(ended(study))
    client.call("POST", "/studies/q/evaluate", {"top": 1, "seeds": 2})
    assert study.state()["task"] == "evaluate"
    found = until(lambda: client.call("GET", "/studies/q/evaluation"))
    assert found["study"] == "q"
    until(lambda: study.state()["state"] == "finished")


def test_monitors_read_counts(client):
    client.submit(ELSEWHERE, name="e")
    client.study("e").ask("w").complete({"val/loss": 0.3})
    assert get(client, "/health").json() == {"ok": True}
    text = get(client, "/metrics").text
    assert 'hpsearch_studies{state="running"} 1.0' in text
    assert 'hpsearch_trials{state="complete"} 1.0' in text
    route = 'method="POST",route="/studies/{name}/trials",status="200"'
    assert f"hpsearch_request_seconds_count{{{route}}} 1.0" in text


def test_the_document_describes_the_api(client):
    document = get(client, f"{API}/openapi.json").json()
    ask = document["paths"]["/api/v1/studies/{name}/trials"]["post"]
    assert "Ask for a trial" in ask["description"]
    example = document["components"]["schemas"]["Submission"]["properties"]["file"]["examples"][0]
    assert client.submit(example, name="example").state()["name"] == "example"
