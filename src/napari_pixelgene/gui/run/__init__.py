"""The Run dock: what to learn, from what, and what came of it."""
