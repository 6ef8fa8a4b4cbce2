"""The ways to a hub's clients: each has a queue, a route, and is seen to live."""
