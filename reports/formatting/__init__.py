"""Format numbers, effects and footnotes for the page."""
