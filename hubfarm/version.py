"""The version of hubfarm, for all who say it."""

__version__ = "0.2.0"
