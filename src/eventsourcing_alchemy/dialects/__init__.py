"""The differences between databases, and nothing else.

`base` does everything in a way that works on any database; `postgresql`, `sqlite`
and `mysql` override a few of its steps. A database needs a module here only if it
does a step better than the default. `types` has the types of our columns.
"""
