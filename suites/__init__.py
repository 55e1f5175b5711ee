"""The suites that come with nstbench."""
