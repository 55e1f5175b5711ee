"""Other projects' code, run unchanged from their checkouts, with our paths and weights."""
