"""Where workers run: an engine for each way. The contract of all is in `engine`."""
