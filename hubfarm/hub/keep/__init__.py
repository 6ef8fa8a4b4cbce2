"""What a successor needs of a hub, kept in files."""
