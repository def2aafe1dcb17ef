"""The service: conversations of organizations, over HTTP."""
