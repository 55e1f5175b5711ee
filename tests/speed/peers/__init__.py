"""Other people's code, run as it is from a checkout of theirs: only paths and weights are ours."""
