"""The bench itself: suites in, records and pages out. Empty, so that parts load alone."""
