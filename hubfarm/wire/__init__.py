"""HTTP as both sides of SAMP need it, on asyncio: a server, a client, and DS9's dialect.

Nothing here knows of hubs, messages or XML: bytes in, bytes out.
"""
