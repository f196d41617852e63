"""The report in a browser: it opens from the disk, needs no network and runs no text as code."""

import pytest

from hpsearch.report.page import report_page
from hpsearch.search.study import run_study

EVIL = "<script>window.hacked=1</script><img src=x onerror=window.hacked=1><b>bold</b>"
MARKS = "path.point, path.js-line, .point path"
DRAWN = f"all => all.map(each => each.querySelectorAll('{MARKS}').length)"
LAST_POINT = """chart => {
    const { x, y } = chart.data[0], { left, top } = chart.getBoundingClientRect();
    const { xaxis, yaxis } = chart._fullLayout;
    return [
        left + xaxis._offset + xaxis.d2p(x.at(-1)),
        top + yaxis._offset + yaxis.d2p(y.at(-1)),
    ];
}"""


@pytest.fixture(scope="module")
def page_file(make_settings, tmp_path_factory):
    """A report on a study whose label is a script."""
    folder = tmp_path_factory.mktemp("page")
    settings = make_settings(
        search={"trials": 14, "pruner": "median"},
        trial={"activation": {"choices": ["relu", "tanh"]}},
        enqueue=[{"label": EVIL, "learning_rate": 0.3}],
    )
    study = run_study(settings, storage=str(folder / "j")).study
    path = folder / "report.html"
    path.write_text(report_page(study), encoding="utf-8")
    return path


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_the_page_works_from_the_disk_and_runs_no_text_of_the_data(page_file, browser):
    messages, requests = [], []
    page = browser.new_page(viewport={"width": 1200, "height": 900}, reduced_motion="reduce")
    page.on("console", lambda message: messages.append(message.text))
    page.on("pageerror", lambda error: messages.append(str(error)))
    page.on("request", lambda request: requests.append(request.url))
    page.goto(page_file.as_uri())
    page.wait_for_selector("html[data-ready]")
    hover_best(page)

    sizes = page.eval_on_selector_all(
        ".chart .main-svg:first-child", "all => all.map(e => [e.clientWidth, e.clientHeight])"
    )
    assert len(sizes) == page.locator(".chart").count() > 10
    assert all(width > 100 and height > 100 for width, height in sizes)
    assert all(page.eval_on_selector_all(".chart", DRAWN))

    assert EVIL in page.locator("#trials-table").inner_text()
    assert sorted_by(page, "learning_rate") == "ascending"
    up = column(page, "learning_rate")
    assert up == sorted(up)
    assert sorted_by(page, "learning_rate") == "descending"
    assert column(page, "learning_rate") == up[::-1]

    assert page.evaluate("window.hacked") is None
    assert page.evaluate("document.documentElement.scrollWidth") <= 1200
    assert messages == []
    assert [url for url in requests if not url.startswith(("file:", "data:", "blob:"))] == []


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_the_printed_page_keeps_words_whole_and_mentions_no_clicks(page_file, browser):
    page = browser.new_page(viewport={"width": 703, "height": 900})
    page.goto(page_file.as_uri())
    page.emulate_media(media="print")
    assert not page.get_by_text("Click a heading").is_visible()
    assert page.get_by_text("14 trials.").is_visible()
    heading = page.locator("#trials-table th", has_text="learning_rate").locator("button")
    lines = """button => {
        const range = document.createRange(), lines = {};
        for (const node of button.childNodes) {
            for (let at = 0; at < node.length; at += 1) {
                range.setStart(node, at);
                range.setEnd(node, at + 1);
                const { top } = range.getBoundingClientRect();
                lines[top] = (lines[top] || "") + range.toString();
            }
        }
        return Object.values(lines);
    }"""
    page.add_style_tag(content="#trials-table { width: 1px }")
    assert heading.evaluate(lines) == ["learning_", "rate"]


def hover_best(page):
    """Hover over the last epoch of the first labelled learning curve and check the text."""
    number = page.evaluate(
        "[...document.querySelectorAll('#panels-learning figcaption')]"
        ".findIndex(each => each.textContent.includes('<script>'))"
    )
    assert number >= 0
    chart = page.locator("#panels-learning .chart").nth(number)
    chart.scroll_into_view_if_needed()
    x, y = chart.evaluate(LAST_POINT)
    page.mouse.move(x - 1, y)
    page.mouse.move(x, y)
    page.wait_for_selector(".hoverlayer .hovertext")
    text = page.locator(".hoverlayer").nth(number).text_content()
    assert "trial 0" in text
    assert EVIL in text


def sorted_by(page, name):
    heading = page.locator("#trials-table th").filter(has_text=name)
    heading.locator("button").focus()
    page.keyboard.press("Enter")
    return heading.get_attribute("aria-sort")


def column(page, name):
    headings = page.locator("#trials-table th").all_inner_texts()
    place = next(n for n, heading in enumerate(headings, start=1) if heading.startswith(name))
    cells = page.locator(f"#trials-table tbody td:nth-child({place})")
    return [float(text) for text in cells.all_inner_texts()]
