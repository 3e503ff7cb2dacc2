"""What the commands do, over the workflows of the core."""
