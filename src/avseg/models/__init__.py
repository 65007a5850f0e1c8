"""Model families: features become prompts, prompts become masks. One folder per paper."""
