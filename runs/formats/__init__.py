"""Mirrors of the files that tasks, jobs and trials are made of: parsed strictly, dumped as Harbor and Pier read them.

Nothing is imported here, so that a command pays only for the formats it touches.
"""
