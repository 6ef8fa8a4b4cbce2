"""A hub elsewhere, here: a door on this host, and a line over which all that comes to it travels."""
