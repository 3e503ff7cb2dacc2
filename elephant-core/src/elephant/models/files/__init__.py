"""Reading model files of unknown origin without unpickling them."""
