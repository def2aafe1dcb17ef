"""The checks: one file each, named after what is wrong."""
