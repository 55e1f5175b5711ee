"""From a cell to a record: fit, stylize, time, score, and say what failed."""
