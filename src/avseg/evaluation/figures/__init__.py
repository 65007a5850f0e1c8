"""Figures of an evaluation: plots, contact sheets, comparison sheets, maps of embeddings."""
