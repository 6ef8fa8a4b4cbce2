"""Cheap forking: one process that has loaded and tried out what a worker needs, and forks workers."""
