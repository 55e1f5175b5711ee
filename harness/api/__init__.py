"""Python's interface to nstbench: run a suite, load its results, score images without a suite.

The command line uses the same functions; `import nstbench` offers them (docs/python.md).
"""
