"""The verbs, in flow order; arrays and elements in, arrays and elements out."""
