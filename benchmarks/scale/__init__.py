"""Whether costs and resources stay bounded while the number of events grows."""
