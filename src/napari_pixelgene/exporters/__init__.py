"""A section to files other tools read, one file a format."""
