"""Many tenants, one release."""
