"""The command line through a service: what it submits, shows and fetches."""

import json

import pytest
from click.testing import CliRunner
from service_server import ELSEWHERE, QUICK, until

from hpsearch.cli import cli


@pytest.fixture
def run(client, tmp_path):
    """Runs a command with --server, and returns its result."""
    (tmp_path / "quick.toml").write_text(QUICK)

    def invoke(*arguments, code=0):
        result = CliRunner().invoke(cli, [*arguments, "--server", client.url])
        assert result.exit_code == code, result.output
        return result

    return invoke


def test_a_study_runs_there_and_is_read_as_if_it_were_here(run, client, tmp_path):
    shown = run("study", "quick.toml", "--trials", "3", "--name", "q").stderr
    assert "q: all 3 trials are done" in shown
    assert f"hpsearch best q --server {client.url}" in shown
    assert not (tmp_path / "hpsearch.journal").exists()
    (listed,) = json.loads(run("list", "--json").stdout)
    assert (listed["study"], listed["complete"]) == ("q", 3)
    best = json.loads(run("best", "q", "--json").stdout)
    assert best[0]["value"] == listed["best"]
    assert f"trial {listed['best_slot']}" in run("show", "q").stdout
    assert "complete after 2 epochs" in run("show", "q#0").stdout
    assert run("narrow", "q").stdout.startswith("# q around the best 3 of 3")
    assert json.loads(run("compare", "q", "--json").stdout)["groups"]
    assert json.loads(run("export", "q", "-f", "json").stdout)["study"] == "q"
    assert run("report", "q").stdout == "q.html\n"
    assert "q.html" in run("report", "q", code=1).output  # it is there already
    assert "<html" in (tmp_path / "q.html").read_text()


def test_a_study_is_stopped_there(run, client):
    study = client.submit(ELSEWHERE, name="e")
    until(lambda: study.state()["state"] == "running")
    assert run("stop", "e").stderr == "e: asked to stop\n"
    until(lambda: study.state()["state"] == "stopped")


def test_errors_are_those_of_the_service(run):
    assert run("best", "none", code=1).stderr.startswith("Error: no study 'none'")
    refused = run("study", "quick.toml", "--report", code=2).stderr
    assert "with --server the service decides where a study runs" in refused
