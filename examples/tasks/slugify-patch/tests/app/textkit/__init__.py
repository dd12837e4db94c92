"""Small text functions without dependencies."""
