"""Figures as PNG files, drawn with matplotlib."""
