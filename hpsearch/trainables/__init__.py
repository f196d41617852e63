"""What is trained: the built-in network."""
