"""Samplers and pruners by name; what a sampler draws depends on the seed and the slot."""
