"""The SAMP standard as pure functions and plain data.

Nothing in this package opens a file, a socket or a process, and nothing here
imports from the rest of hubfarm: every other package stands on this one.
"""
