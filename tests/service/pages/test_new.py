"""A new study: what it may start from, and what is said about its file."""

import tomllib

import pytest

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
