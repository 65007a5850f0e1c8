"""Training from recipes, with Hugging Face's Trainer."""

from avseg.training.run import train

__all__ = ["train"]
