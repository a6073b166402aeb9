"""Whether what is recorded is as it has to be."""
