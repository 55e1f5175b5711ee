"""What the machine is, how fast it is, what else runs on it, and how much memory it has."""
