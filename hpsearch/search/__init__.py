"""Running studies: one study, its rounds from coarse to fine, and the evaluation of its best."""
