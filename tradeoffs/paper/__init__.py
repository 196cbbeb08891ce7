"""Tables, figures and the report: from score tables, images and heat maps to what a person reads."""
