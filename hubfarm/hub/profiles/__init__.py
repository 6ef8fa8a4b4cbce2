"""The doors by which a hub is entered: a profile each, and what stands before it."""
