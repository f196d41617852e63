"""Data: reading sources and tables, what their columns are, labels, splits."""
