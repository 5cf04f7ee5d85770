"""Where a capture comes from: one file a technology, behind one contract."""
