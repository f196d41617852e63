"""The pages in a browser: a study from its submission to its comparison, by mouse and keyboard."""

import re
import time

import pytest

LONG = """name = "digits"
[data]
source = "digits"
[search]
sampler = "random"
pruner = "median"
trials = 2000
[trial]
epochs = 12
hidden_units = { low = 20, high = 60 }
learning_rate = { low = 1e-4, high = 1.0, log = true }
"""
SHORT = LONG.replace('"digits"\n[data]', '"short"\n[data]').replace("2000", "4")
SPENT = "(document.querySelector('[data-name=so-far] .chart')?.data?.[0].x.at(-1) ?? 0)"
CURVES = "(document.querySelector('[data-name=live] .chart')?.data?.length ?? 0)"
NAMELESS = """[...document.querySelectorAll("input, select, textarea, button, a")].filter(
    (each) => !each.labels?.length && !each.ariaLabel && !each.textContent.trim()
).length"""
WIDTH = "document.documentElement.scrollWidth"


@pytest.fixture(scope="module")
def address(serve, tmp_path_factory):
    """The address of a service over an empty storage."""
    with serve(tmp_path_factory.mktemp("empty") / "j", at_once=2) as (_, address):
        yield address


def wait_until(page, expression, seconds=60):
    """Wait until a page finds an expression true; its policy forbids Playwright's own way."""
    until = time.monotonic() + seconds
    while not page.evaluate(expression):
        assert time.monotonic() < until, expression
        page.wait_for_timeout(100)


def submit(page, file):
    page.wait_for_selector("html[data-ready]")
    page.fill("#file", file)
    page.get_by_role("button", name="Start the study").click()
    page.wait_for_url(re.compile("/studies/"))


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_a_study_from_its_submission_to_its_comparison(address, page):
    page.set_viewport_size({"width": 1600, "height": 900})
    page.goto(address)
    page.get_by_role("link", name="Start the first study").click()

    # The editor says what is wrong, and where, before anything is created.
    page.wait_for_selector("html[data-ready]")
    assert page.locator("#file").input_value().startswith("# The default of")
    page.fill("#file", LONG.replace("learning_rate", "learning_rat"))
    page.get_by_text("Line 11: study file: trial.learning_rat").wait_for()
    assert page.locator("#lines .wrong").inner_text() == "11"
    page.get_by_role("button", name="Start the study").click()
    page.locator("#file:focus").wait_for()
    assert page.url.endswith("/new")
    assert page.evaluate("fetch('/rows').then((a) => a.json()).then((a) => a.all)") == 0

    # Tab indents, and after Esc it leaves.
    page.locator("#file").press("Control+End")
    page.keyboard.press("Tab")
    assert page.locator("#file").input_value().endswith("\n  ")
    page.keyboard.press("Escape")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.name") == "name"

    submit(page, LONG)
    assert page.get_by_role("heading", name="digits-random").is_visible()

    # Curves move while it runs, and the study can be stopped and go on.
    wait_until(page, f"{SPENT} > 0 && {CURVES} > 0")
    before = page.evaluate(SPENT)
    wait_until(page, f"{SPENT} > {before}")
    assert page.locator("#state .is-running").is_visible()
    page.get_by_role("button", name="Stop").click()
    page.locator("#state .is-stopped").wait_for()
    page.wait_for_selector("[data-name=parallel] .chart .js-line")
    stopped = page.evaluate(SPENT)
    page.get_by_role("button", name="Go on").click()
    page.goto(f"{address}/new")
    submit(page, SHORT)
    page.locator("#state .is-finished").wait_for()
    page.goto(f"{address}/studies/digits-random")
    wait_until(page, f"{SPENT} > {stopped}")
    page.get_by_role("button", name="Stop").click()
    page.locator("#state .is-stopped").wait_for()

    # More trials, and a question before it is deleted.
    page.get_by_role("button", name="More trials").click()
    page.get_by_label("How many more?").fill("10")
    page.get_by_role("button", name="Cancel").click()
    assert not page.locator("dialog#more").is_visible()
    page.get_by_role("button", name="Delete").click()
    assert page.get_by_text("Delete the study digits-random?").is_visible()
    page.get_by_role("button", name="Keep it").click()
    page.goto(f"{address}/studies/short-random")
    page.get_by_role("button", name="More trials").click()
    page.get_by_label("How many more?").fill("2")
    page.keyboard.press("Enter")
    page.get_by_text("6 of 6", exact=True).wait_for()

    # A trial.
    page.goto(f"{address}/studies/digits-random")
    for order in ("ascending", "descending"):
        page.get_by_role("button", name="val/accuracy").click()
        page.locator(f'th[aria-sort="{order}"]', has_text="accuracy").wait_for()
    page.locator("#trials tbody a").first.click()
    page.wait_for_selector("[data-name=trial] .chart .js-line")
    assert page.get_by_role("heading", name=re.compile(r"Trial \d+")).is_visible()

    # Two compared.
    page.goto(address)
    page.get_by_label("Compare digits-random").check()
    page.get_by_label("Compare short-random").check()
    page.get_by_role("button", name="Compare 2").click()
    page.wait_for_selector("html[data-ready]")
    assert page.locator("[data-name=compare] .scatterlayer .js-line").count() == 4
    assert page.locator("#table tbody tr").count() == 2

    # One is deleted.
    page.goto(f"{address}/studies/short-random")
    page.get_by_role("button", name="Delete").click()
    page.get_by_role("button", name="Delete short-random").click()
    page.get_by_text("The study short-random has been deleted.").wait_for()
    page.get_by_role("link", name="All studies").click()
    page.locator("#rows tr[data-name=digits-random]").wait_for()
    assert page.locator("#rows tr").count() == 1


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_pages_fit_a_narrow_screen_and_run_no_text_of_a_study(served, page):
    page.set_viewport_size({"width": 400, "height": 800})
    page.emulate_media(color_scheme="dark", reduced_motion="reduce")
    for place, ready in [
        ("/", "#rows tr"),
        ("/new", "html[data-ready]"),
        ("/studies/small", "[data-name=parallel] .chart .js-line"),
        ("/studies/small/trials/0", "[data-name=trial] .chart .js-line"),
        ("/studies/small/trials/6", "html[data-ready]"),
        ("/compare?names=small", "[data-name=compare] .chart .js-line"),
    ]:
        page.goto(served[1] + place)
        page.wait_for_selector(ready, state="attached")
        assert page.evaluate(WIDTH) <= 400, place
        assert page.evaluate(NAMELESS) == 0, place
        assert page.evaluate("window.hacked") is None
    page.goto(served[1])
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the content"


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_a_page_says_that_the_service_is_away_and_goes_on(serve, make_small, tmp_path, browser):
    make_small(tmp_path / "j")
    page = browser.new_page()
    with serve(tmp_path / "j") as (_, address):
        page.goto(f"{address}/studies/small")
        page.wait_for_selector("[data-name=live] .chart .js-line")
        assert not page.locator("#outage").is_visible()
    page.get_by_text("The service does not answer.").wait_for()
    with serve(tmp_path / "j", port=int(address.rpartition(":")[2])):
        page.locator("#outage").wait_for(state="hidden")
    page.close()
