"""The tables of a report."""

from hpsearch.report.facts import Facts
from hpsearch.report.tables import all_trials_table, best_trials_table


def test_the_tables_list_the_best_trials_first(study):
    facts = Facts.of(study, 4)
    best, every = best_trials_table(facts), all_trials_table(facts)
    values = [row[best.headings.index("val/accuracy")].number for row in best.rows]
    complete = sorted((t.value for t in study.trials if t.state.name == "COMPLETE"), reverse=True)
    assert values == complete[:4]
    assert {"learning_rate", "momentum", "activation"} < set(best.headings)
    assert len(every.rows) == 30
    states = [row[every.headings.index("state")].text for row in every.rows]
    assert states == sorted(states)
    assert "known" in [row[every.headings.index("label")].text for row in every.rows]
    # Further to the right it would be out of sight where there are many parameters.
    assert every.headings.index("why it ended") == every.headings.index("state") + 1
    assert "why it ended" not in best.headings
    numeric = {name: every.numeric(column) for column, name in enumerate(every.headings)}
    assert numeric["trial"]
    assert numeric["momentum"]
    assert not numeric["activation"]
    assert not numeric["state"]
