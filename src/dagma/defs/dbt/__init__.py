"""dbt: models on the recipes' table in PostgreSQL, as assets, and their tests as asset checks."""
