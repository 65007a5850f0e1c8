"""Reproductions: a paper's tables trained on SynthAVS with small models, and its claims tested."""
