"""The winner of a study, to use: files, and models in MLflow's registry."""
