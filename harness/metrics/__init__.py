"""Scores of one stylized image, one file each; `registry.METRICS` finds them."""
