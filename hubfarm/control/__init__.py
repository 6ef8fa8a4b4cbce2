"""How a coordinator is talked to: the protocol, and its client's end."""
