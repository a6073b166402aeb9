"""The benchmark: this package, its peers, and the limits of the databases.

`python -m benchmarks --help` in a checkout, or `nox -s bench`.
"""
