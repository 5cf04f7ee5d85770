"""The only folder that imports napari or Qt."""
