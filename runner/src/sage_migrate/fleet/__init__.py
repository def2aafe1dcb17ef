"""Many tenants, one release: each tenant's schema or database under the gate, some at a time."""
