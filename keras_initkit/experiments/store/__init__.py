"""Store: finished runs on disk, and the keys that say what determined them."""
