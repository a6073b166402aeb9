"""The history of a git repository, event-sourced. Read the modules in this order.

- ``domain``: what happened: a commit was recorded.
- ``application``: records commits, each one once, however often it is asked to.
- ``view``: counts commits and changed lines, in tables of its own.
- ``projection``: takes every recorded commit to the view.
- ``copies``: runs the projection, with others that stand by.
- ``git``: reads the commits from the ``git`` program.
- ``demo``, ``report``: all of it together, on a terminal.
"""
