"""What `elephant doctor` looks at. Other packages add checks through the entry-point group ``elephant.doctor``."""
