"""A synthetic tissue with known truth, written as a real Xenium run and H&E."""
