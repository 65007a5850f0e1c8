"""Key maps of published checkpoints: one module for each project."""
