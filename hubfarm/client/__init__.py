"""For programs that talk to a hub."""
