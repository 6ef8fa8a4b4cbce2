"""Who people are: users and their passwords, and how a password is checked."""
