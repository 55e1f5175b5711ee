"""Sections of the page, one module each: `title`, `order`, `render(view) -> Markup | None`."""
