"""Google's Antigravity SDK, run by a script of our own."""
