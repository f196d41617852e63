"""Reading studies, and changing nothing: rankings, configurations, histories, tables."""
