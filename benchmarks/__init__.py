"""Benchmarks of SAMP hubs, side by side: ours, JSAMP's, pyvo's, and two servers that are no hubs as the floor.

``python -m benchmarks --help``; docs/benchmarks.md says how to read what comes out.
"""
