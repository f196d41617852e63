"""What may be searched: ranges and choices, their grid, and narrowing them around good values."""
