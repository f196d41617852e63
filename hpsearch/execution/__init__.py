"""Running trials: the objective, the worker, its coordinator, and recovery from dead workers."""
