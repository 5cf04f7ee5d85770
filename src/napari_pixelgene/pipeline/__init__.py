"""The whole flow: joins readers, stages, registries and store."""
