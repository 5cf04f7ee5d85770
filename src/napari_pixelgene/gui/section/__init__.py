"""The Section dock: what is here, and whether it belongs together."""
