"""Metrics of one stylized image, one per file; `registry.METRICS` finds them by folder."""
