"""Model families: the trained part of each published method, one folder per paper."""
