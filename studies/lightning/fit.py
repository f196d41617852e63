"""A small module of Lightning, whose trainer owns the loop, for `hpsearch study`."""

import logging

import lightning
import torch
from sklearn.datasets import load_diabetes
from torch.utils.data import DataLoader, TensorDataset, random_split

logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
x, y = (torch.tensor(each, dtype=torch.float32) for each in load_diabetes(return_X_y=True))
table = TensorDataset(x, (y - y.mean()) / y.std())
rows, val = random_split(table, [0.8, 0.2], torch.Generator().manual_seed(0))
QUIET = dict.fromkeys(("logger", "enable_progress_bar", "enable_model_summary"), False)


class Net(lightning.LightningModule):
    def __init__(self, width, rate):
        super().__init__()
        layers = torch.nn.Linear(10, width), torch.nn.ReLU(), torch.nn.Linear(width, 1)
        self.net, self.rate = torch.nn.Sequential(*layers), rate

    def training_step(self, batch, _):
        return torch.nn.functional.mse_loss(self.net(batch[0])[:, 0], batch[1])

    def validation_step(self, batch, number):
        self.log("val/rmse", self.training_step(batch, number).sqrt())

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=self.rate)


class Report(lightning.Callback):
    def __init__(self, report):
        self.report = report

    def on_train_epoch_end(self, trainer, _):  # after the validation of the epoch
        self.report({"val/rmse": trainer.callback_metrics["val/rmse"]}, trainer.save_checkpoint)


def train(config, *, epochs, report, resume=None):
    options = {"max_epochs": epochs, "enable_checkpointing": False, "num_sanity_val_steps": 0}
    trainer = lightning.Trainer(accelerator="cpu", callbacks=[Report(report)], **options, **QUIET)
    batches = DataLoader(rows, batch_size=config["batch"], shuffle=True)
    net = Net(config["width"], config["rate"])
    trainer.fit(net, batches, DataLoader(val, batch_size=len(val)), ckpt_path=resume)
