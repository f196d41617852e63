"""A linear classifier of scikit-learn, trained pass by pass, for `hpsearch study`."""

from sklearn.datasets import load_digits
from sklearn.linear_model import SGDClassifier
from sklearn.metrics import log_loss
from sklearn.model_selection import train_test_split

x, y = load_digits(return_X_y=True)
x_train, x_val, y_train, y_val = train_test_split(x / 16, y, test_size=0.2, random_state=0)


def train(config, *, epochs, seed):
    """Yield the metrics of each pass over the rows."""
    model = SGDClassifier(
        loss="log_loss", random_state=seed, alpha=config["alpha"], penalty=config["penalty"]
    )
    for _ in range(epochs):
        model.partial_fit(x_train, y_train, classes=range(10))
        yield {
            "train/loss": log_loss(y_train, model.predict_proba(x_train)),
            "val/loss": log_loss(y_val, model.predict_proba(x_val)),
            "val/accuracy": model.score(x_val, y_val),
        }
