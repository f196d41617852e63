"""The study file, checked: its tables, its names and what it defines."""
