"""What the databases themselves can do, with the very SQL that this package sends."""
