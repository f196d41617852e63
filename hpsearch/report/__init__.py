"""The report: a study as one page of HTML."""
