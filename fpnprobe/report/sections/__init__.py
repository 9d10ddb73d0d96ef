"""One module for each section of the report: tables in, figures and words out."""
