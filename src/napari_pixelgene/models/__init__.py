"""Recipes that learn expression from features: the contract, the table of names, one file a member."""
