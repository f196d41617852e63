"""The charts of a report: functions from `Facts` to `Panels`, which `report.page` places."""
