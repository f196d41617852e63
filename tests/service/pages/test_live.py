"""What a page fetches while a study runs."""

import itertools


def first_events(client, address, number):
    with client.stream("GET", address) as answer:
        lines = (line for line in answer.iter_lines() if line.startswith("event:"))
        return [*itertools.islice(lines, number)]


def test_events_begin_where_a_page_ends(client):
    address = "/api/v1/studies/small/events"
    assert first_events(client, address, 8) == ["event: trial"] * 7 + ["event: study"]
    assert first_events(client, f"{address}?since=7", 1) == ["event: study"]
    assert first_events(client, f"{address}?since=5", 3) == ["event: trial"] * 2 + ["event: study"]


def test_the_page_has_the_cursor_of_what_it_shows(client):
    assert '"cursor":"7"' in client.get("/studies/small").text


def test_the_parts_of_the_page_are_those_of_its_first_view(client):
    page, live = client.get("/studies/small").text, client.get("/studies/small/live").json()
    assert live["parts"].keys() == {"state", "facts", "actions"}
    for part in live["parts"].values():
        assert part in page
    assert [each["name"] for each in live["panels"]] == ["live", "so-far"]
