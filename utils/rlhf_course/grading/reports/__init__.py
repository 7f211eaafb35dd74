"""Write results as tables and pages."""
