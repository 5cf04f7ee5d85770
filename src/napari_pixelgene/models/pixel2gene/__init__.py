"""Pixel2Gene: expression of a superpixel from its own histology vector (specs/pixel2gene.md section 5).

The kernel and its recipes are those of `models/superpixels`, which iSCALE shares.
"""
