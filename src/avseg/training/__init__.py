"""Training by Hugging Face's Trainer: a recipe in, weights that load out."""
