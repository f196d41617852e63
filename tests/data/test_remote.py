"""Tables at a URL: read once a host, again when they have changed, and refused in one sentence."""

import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pandas as pd
import pytest

from hpsearch.data.loading import load_dataset
from hpsearch.data.remote import local_path
from hpsearch.data.sources import read_source


class Handler(SimpleHTTPRequestHandler):
    """Serves a folder, counts what was fetched, and says nothing."""

    fetched: list[str]

    def do_GET(self):
        self.fetched.append(self.path)
        super().do_GET()

    def log_message(self, *_):
        pass


@pytest.fixture
def served(tmp_path, monkeypatch):
    """A folder that is served, its address, and the paths that were fetched."""
    monkeypatch.setenv("HPSEARCH_CACHE", str(tmp_path / "cache"))
    folder, fetched = tmp_path / "served", []
    folder.mkdir()
    handler = type("Counting", (Handler,), {"fetched": fetched})
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(handler, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield folder, f"http://127.0.0.1:{server.server_port}", fetched
    server.shutdown()
    server.server_close()


def table(rows, seed=0):
    rng = np.random.default_rng(seed)
    return pd.DataFrame({"a": rng.normal(size=rows), "y": rng.choice(["no", "yes"], rows)})


def test_a_table_at_a_url_is_the_same_as_in_a_file_and_read_once(served):
    folder, address, fetched = served
    table(60).to_csv(folder / "t.csv", index=False)
    there = load_dataset(f"{address}/t.csv", target="y")
    here = load_dataset(str(folder / "t.csv"), target="y")
    assert there.digest == here.digest
    assert (there.name, there.source) == ("t", f"{address}/t.csv")
    before = len(fetched)
    assert before >= 1
    again = load_dataset(f"{address}/t.csv", target="y")
    assert np.array_equal(again.x_train, here.x_train)
    assert len(fetched) == before


def test_a_table_that_has_changed_is_read_again(served):
    folder, address, _ = served
    table(60).to_csv(folder / "t.csv", index=False)
    first = load_dataset(f"{address}/t.csv", target="y")
    table(70, seed=1).to_csv(folder / "t.csv", index=False)
    assert load_dataset(f"{address}/t.csv", target="y").digest != first.digest


def test_further_files_may_be_at_urls_too(served):
    folder, address, _ = served
    table(60).to_csv(folder / "t.csv", index=False)
    table(20, seed=1).to_parquet(folder / "more.parquet")
    data = load_dataset(
        f"{address}/t.csv", target="y", more=[f"file://{folder}/more.parquet"], split_seed=1
    )
    assert len(data.x_train) + len(data.x_val) == 64


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("{address}/none.csv", "{address}/none.csv: {address}/none.csv cannot be read: "),
        ("nosuch://x/t.csv", "a URL with nosuch needs|cannot be read: Protocol not known: nosuch"),
        ("https://me:secret@x/t.csv", "a URL with a password or a query would be shown"),
        ("https://x/t.csv?signature=secret", "a URL with a password or a query would be shown"),
        ("{address}/t.txt", "'.*t.txt' is not a data set"),
    ],
)
def test_what_cannot_be_read_is_one_sentence(served, url, sentence):
    _, address, _ = served
    with pytest.raises(ValueError, match=sentence.format(address=address)) as raised:
        read_source(url.format(address=address))
    assert "secret" not in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_path_stays_a_path():
    assert str(local_path("folder/t.csv")) == "folder/t.csv"
