"""The rules on models."""
