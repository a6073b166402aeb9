"""The command line: `eventsourcing-alchemy …`. Each command has a file of its own."""
