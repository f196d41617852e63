"""A small network of PyTorch, for `hpsearch study`."""

import torch
from sklearn.datasets import load_diabetes
from sklearn.model_selection import train_test_split

x, y = (torch.tensor(each, dtype=torch.float32) for each in load_diabetes(return_X_y=True))
y = (y - y.mean()) / y.std()
rows, val = train_test_split(torch.arange(len(x)), test_size=0.2, random_state=0)


def train(config, *, epochs, seed, resume=None):
    """Yield the metrics of each pass over the rows."""
    torch.manual_seed(seed)
    width, rate, loss_of, first = config["width"], config["rate"], torch.nn.MSELoss(), 0
    layers = torch.nn.Linear(10, width), torch.nn.ReLU(), torch.nn.Linear(width, 1)
    net = torch.nn.Sequential(*layers)
    if config["optimizer"] == "adam":
        optimizer = torch.optim.Adam(net.parameters(), lr=rate)
    else:
        optimizer = torch.optim.SGD(net.parameters(), lr=rate, momentum=config["momentum"])
    if resume is not None:  # a checkpoint of a killed trial
        first, weights, moments, random = torch.load(resume)
        net.load_state_dict(weights)
        optimizer.load_state_dict(moments)
        torch.set_rng_state(random)
    for epoch in range(first, epochs):
        for batch in rows[torch.randperm(len(rows))].split(config["batch"]):
            loss = loss_of(net(x[batch])[:, 0], y[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        with torch.no_grad():
            losses = {name: loss_of(net(x[own])[:, 0], y[own]) for name, own in PARTS.items()}
        state = epoch + 1, net.state_dict(), optimizer.state_dict(), torch.get_rng_state()
        metrics = {f"{name}/rmse": loss.sqrt() for name, loss in losses.items()}
        yield metrics, lambda path, state=state: torch.save(state, path)


PARTS = {"train": rows, "val": val}
