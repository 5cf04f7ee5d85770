"""Files to elements, one file a format family."""
