"""The dashboard: the farm in a browser.  A process of its own that leaves when nobody looks."""
