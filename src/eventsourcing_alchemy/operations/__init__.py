"""The state of things, read in short transactions: for command line, page and metrics.

Nothing else reads the tables to show what is in them.
"""
