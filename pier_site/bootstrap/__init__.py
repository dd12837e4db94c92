"""What `make run` and `make test` do once the virtual environment exists: engine, images, database, example runs.

It runs before the site is known to work, so it imports nothing of it but the tree of errors.
"""
