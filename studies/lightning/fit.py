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
LEFT_OUT = ("logger", "enable_progress_bar", "enable_model_summary", "enable_checkpointing")


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


def train(config, *, epochs, report, resume=None):
    each = lightning.pytorch.callbacks.LambdaCallback(  # after the validation of the epoch
        on_train_epoch_end=lambda it, _: report(it.callback_metrics, it.save_checkpoint)
    )
    options = dict.fromkeys(LEFT_OUT, False) | {"accelerator": "cpu", "num_sanity_val_steps": 0}
    trainer = lightning.Trainer(max_epochs=epochs, callbacks=[each], **options)
    batches = DataLoader(rows, config["batch"], shuffle=True), DataLoader(val, len(val))
    trainer.fit(Net(config["width"], config["rate"]), *batches, ckpt_path=resume)
