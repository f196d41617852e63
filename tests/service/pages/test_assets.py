"""Style sheets and scripts."""

import gzip

import pytest
from plotly.offline import get_plotlyjs

from hpsearch.service.pages import assets


def test_an_asset_may_be_kept_for_good(client):
    answer = client.get(assets.address("page.css"))
    assert "immutable" in answer.headers["cache-control"]
    assert answer.headers["content-type"].startswith("text/css")
    assert answer.text == (assets.FOLDER / "page.css").read_text()


def test_plotly_is_that_of_the_installed_package(client):
    plain = client.get(assets.address(assets.PLOTLY), headers={"Accept-Encoding": "identity"})
    assert plain.text == get_plotlyjs()
    assert "content-encoding" not in plain.headers
    with client.stream("GET", assets.address(assets.PLOTLY)) as packed:
        content = b"".join(packed.iter_raw())
    assert packed.headers["content-encoding"] == "gzip"
    assert len(content) < len(plain.content) / 2
    assert gzip.decompress(content) == plain.content


@pytest.mark.parametrize("name", ["nope.js", "..%2Froutes.py", "%2Fetc%2Fpasswd", ".."])
def test_nothing_else_is_delivered(client, name):
    assert client.get(f"/static/{assets.version()}/{name}").status_code == 404
