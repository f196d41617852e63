"""Boosted trees of XGBoost, a round an epoch, for `hpsearch study`."""

import xgboost
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import train_test_split

x, y = load_breast_cancer(return_X_y=True)
x_train, x_val, y_train, y_val = train_test_split(x, y, test_size=0.2, random_state=0, stratify=y)
rows, val = xgboost.DMatrix(x_train, y_train), xgboost.DMatrix(x_val, y_val)


def train(config, *, epochs, seed, resume=None):
    """Yield the metrics of each round."""
    options = {key: value for key, value in config.items() if key != "epochs"}
    options |= {"objective": "binary:logistic", "eval_metric": ["logloss", "auc"], "nthread": 1}
    booster = xgboost.Booster({**options, "seed": seed}, [rows, val])
    if resume is not None:  # a checkpoint of a killed trial
        booster.load_model(bytearray(resume.read_bytes()))
    for number in range(booster.num_boosted_rounds(), epochs):
        booster.update(rows, number)
        found = booster.eval_set([(rows, "train"), (val, "val")], number).split()[1:]
        pairs = (each.split(":") for each in found)  # such as train-auc:0.99
        metrics = {name.replace("-", "/"): float(value) for name, value in pairs}
        yield metrics, lambda path: path.write_bytes(booster.save_raw())
