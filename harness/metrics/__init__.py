"""Metrics of a stylized image, one per file; `registry.METRICS` imports all files of the folder."""
