"""Elements to and from NAME.section.zarr, one file a group of it."""
