"""The client in JavaScript that docs/service.md shows trains the study that it shows."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from service_server import until

PAGE = Path(__file__).parent.parent.parent / "docs" / "service.md"


def block(kind):
    return re.search(rf"^```{kind}\n(.*?)^```$", PAGE.read_text(), re.M | re.S)[1]


@pytest.mark.skipif(shutil.which("node") is None, reason="there is no node")
def test_the_loop_trains_the_study(client, tmp_path):
    study = client.submit(block("toml"), name="elsewhere")
    code = block("javascript").replace("http://127.0.0.1:8000", client.url)
    (tmp_path / "worker.mjs").write_text(code)
    run = subprocess.run(
        ["node", "worker.mjs"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    state = until(lambda: study.state()["state"] == "finished" and study.state())
    assert state["complete"] + state["pruned"] == 12
    assert {each["client"] for each in study.trials()} == {"worker-js"}
