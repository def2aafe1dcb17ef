"""The rules: one file each, named after the bad pattern, in a package for each family."""
