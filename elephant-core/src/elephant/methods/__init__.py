"""The two methods, detection and flow: one way to start, train and update a model, and what each finds."""
