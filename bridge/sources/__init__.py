"""Where watches come from: the watchlist, the queue folder, the lines file."""
