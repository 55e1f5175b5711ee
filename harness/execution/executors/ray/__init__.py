"""Cells on all GPUs of a Ray cluster."""
