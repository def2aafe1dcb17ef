"""The sample service: conversations of organizations, over HTTP."""
