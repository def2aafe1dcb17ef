"""The service that `sage-migrate init` renders, and the sample that is one."""
