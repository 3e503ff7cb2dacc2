"""Half an hour of mixed use while programs are killed: nothing acknowledged is lost, and nothing grows."""
