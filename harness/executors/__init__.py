"""Where cells run. An executor takes jobs and gives outcomes; it decides nothing about results."""
