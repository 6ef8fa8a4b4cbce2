"""The hub of a visitor's own desktop, joined with one of the farm's through a page in the visitor's browser."""
