// Live updates, keys and players. The page is complete without it.
