"""The charts, by what Helm 3 and Helm 4 render."""
