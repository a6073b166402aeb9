"""What is measured, in a process of its own."""
