"""What the tests need beside the product: a database, a project, the command line, and trouble on the network."""
