"""A new study: what it may start from, and what is said about its file."""

import tomllib

import httpx
import pytest

from hpsearch.search.study import run_study
from hpsearch.service.pages.new import shipped_files
from hpsearch.service.submission import Allowed


def test_every_shipped_file_can_be_submitted():
    files = shipped_files()
    assert next(iter(files)) == "digits"
    assert len(files) > 5
    for text in files.values():
        Allowed().settings(text)


def test_the_page_offers_the_shipped_files_and_the_tables(client):
    text = client.get("/new").text
    assert '<option value="file:digits">digits</option>' in text
    assert '<option value="table:flowers.csv">flowers.csv</option>' in text


@pytest.mark.parametrize(
    "file",
    [
        'name = "x"\n[trial]\nlearning_rat = 0.1\n',
        'name = "x"\n[data]\nsource = "/etc/passwd"\n',
        "name = \n",
    ],
)
def test_what_is_wrong_with_a_file_is_said_as_at_submission(client, file):
    said = client.post("/new/check", json={"file": file}).json()["said"]
    refused = client.post("/api/v1/studies", json={"file": file})
    assert refused.status_code == 422
    assert refused.json()["detail"] == said
    assert said.startswith("study file: ")


def test_a_right_file_says_how_many_trials_it_has(client):
    answer = client.post("/new/check", json={"file": 'name = "x"\n[search]\ntrials = 7\n'})
    assert answer.json() == {"said": "", "trials": 7}


def test_a_table_becomes_a_study_file_that_can_be_submitted(client, service):
    choice = {"source": "flowers.csv", "target": "kind"}
    file = client.post("/new/table", json=choice).json()["file"]
    data = tomllib.loads(file)["data"]
    assert (data["source"], data["target"]) == ("flowers.csv", "kind")
    assert service.allowed.settings(file).data.target == "kind"


def test_a_table_that_cannot_be_read_so_is_refused_with_the_sentence(client, service):
    answer = client.post("/new/table", json={"source": "flowers.csv", "target": "colour"})
    assert answer.status_code == 422
    detail = answer.json()["detail"]
    assert "colour" in detail
    assert str(service.allowed.data) not in detail  # where the operator keeps it


def test_without_a_column_the_columns_are_listed(client):
    answer = client.post("/new/table", json={"source": "flowers.csv"})
    assert answer.json()["detail"].endswith("(a, b, kind)")


@pytest.mark.parametrize("source", ["/etc/passwd", "../j", "other.csv", "digits"])
def test_no_other_file_is_read(client, source):
    answer = client.post("/new/table", json={"source": source})
    assert answer.status_code == 422
    assert "is not a table of this service" in answer.json()["detail"]


def test_a_narrowed_study_of_a_table_can_be_submitted(serve, make_settings, tmp_path):
    rows = [f"{n % 7},{n % 5},{'yes' if n % 3 else 'no'}" for n in range(120)]
    (tmp_path / "data").mkdir()
    table = tmp_path / "data" / "flowers.csv"
    table.write_text("\n".join(["a,b,kind", *rows]))
    data = {"source": str(table), "target": "kind"}
    settings = make_settings(name="flowers", data=data | {"limit": 100}, search={"trials": 6})
    run_study(settings, storage=str(tmp_path / "j"), name="flowers")
    with serve(tmp_path / "j", allowed=Allowed(data=tmp_path / "data")) as (_, address):
        narrow = f"{address}/api/v1/studies/flowers/narrow"
        file = httpx.post(narrow, json={}, timeout=30).json()["file"]
        assert str(table) in file
        assert httpx.post(f"{address}/new/check", json={"file": file}).json()["said"] == ""
        elsewhere = file.replace(str(table), str(tmp_path / "j"))
        said = httpx.post(f"{address}/new/check", json={"file": elsewhere}).json()["said"]
        assert "this service has no table" in said
