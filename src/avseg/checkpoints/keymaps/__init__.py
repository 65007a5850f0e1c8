"""How published checkpoints name their tensors: one table for each project."""
