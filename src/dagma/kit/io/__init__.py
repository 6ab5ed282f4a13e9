"""IO managers: Parquet files and PostgreSQL tables, for DataFrames."""
