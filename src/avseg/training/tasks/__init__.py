"""What can be learned from annotated clips: one file for each task."""
