"""Tasks that train models on annotated clips, and the options of every task."""
