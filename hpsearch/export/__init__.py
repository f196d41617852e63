"""The winner of a study, to use: files, predictions and models in MLflow's registry."""
