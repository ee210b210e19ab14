"""Every figure of the course, one call each; one style for all of them."""
