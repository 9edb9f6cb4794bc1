"""The views as a package of dbt."""
