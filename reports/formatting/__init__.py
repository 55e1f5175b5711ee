"""Numbers, effects and footnotes as the page writes them."""
