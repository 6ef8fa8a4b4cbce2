"""What a hub is asked to be, by whom it is used, and who may do what: plain data and pure rules."""
