"""One hub, one process: the hub itself, its profile, its deliveries, and what runs them."""
