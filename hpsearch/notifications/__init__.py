"""What a study tells a webhook while it runs, and at its end."""
