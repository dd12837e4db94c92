"""Pure functions over results: what numbers mean, and how sure one can be of them."""
