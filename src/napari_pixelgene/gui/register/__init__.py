"""The Register dock: pairs of points, and the transform they support."""
