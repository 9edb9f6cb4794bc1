"""What was loaded, for people: data frames, figures, charts and the report."""
