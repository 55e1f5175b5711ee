"""The page about a run, from its records alone."""
