"""What errors mean, outages, and servers that do not answer."""
