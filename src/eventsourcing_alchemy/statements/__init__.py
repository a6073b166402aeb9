"""The statements on the tables, and how the driver executes them."""
