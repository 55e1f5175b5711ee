"""Build the page about a run from its records."""
