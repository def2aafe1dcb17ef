"""Another service than the sample: it has accounts, and entries in them."""
