"""What an evaluation says of a study: candidates, ties, test scores and their wording."""
