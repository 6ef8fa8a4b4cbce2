"""Two hubs or more joined: each one's clients are clients of the others too, by proxies that one process keeps."""
