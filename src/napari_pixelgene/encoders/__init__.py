"""Frozen histology networks: the contract, the table of names, one file a member."""
